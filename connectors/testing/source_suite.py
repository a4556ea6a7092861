"""The laws of a source, as tests: a connector's test file subclasses `SourceContract`.

::

    pytest.register_assert_rewrite("connectors.testing")  # before anything imports it

    class TestShopSource(SourceContract):
        @pytest.fixture
        def system(self, tmp_path):
            return ShopSystem(tmp_path)

Law: a test here knows only `connectors.contract`; what a system cannot do is named
in ``lacks``, with the reason.
"""

from connectors.testing.features import Feature
from connectors.testing.read_laws import ReadLaws
from connectors.testing.reading import SourceSystem
from connectors.testing.rows import Row
from connectors.testing.state_laws import StateLaws


class SourceContract(ReadLaws, StateLaws):
    """Subclass it, supply the fixture ``system``, and say in ``lacks`` what it cannot do."""


__all__ = ["Feature", "Row", "SourceContract", "SourceSystem"]
