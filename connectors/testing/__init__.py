"""What a connector's author needs to prove it: contract suites, and systems in memory.

::

    class TestOrdersSource(SourceContract):
        @pytest.fixture
        def system(self, tmp_path):
            return MySystem(tmp_path)

The suites need pytest; the systems in memory do not.
"""
