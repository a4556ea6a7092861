"""The laws of a destination, as tests: a connector's test file subclasses `DestinationContract`.

::

    pytest.register_assert_rewrite("connectors.testing")  # before anything imports it

    class TestShelfDestination(DestinationContract):
        @pytest.fixture
        def system(self, tmp_path):
            return ShelfSystem(tmp_path)

Law: what is stored is looked at through another door than the destination under
test; what a system cannot do is named in ``lacks``, with the reason.
"""

from connectors.testing.column_laws import ColumnLaws
from connectors.testing.commit_laws import CommitLaws
from connectors.testing.delete_laws import DeleteLaws
from connectors.testing.features import Feature
from connectors.testing.merge_laws import MergeLaws
from connectors.testing.rejected_laws import RejectedLaws
from connectors.testing.schema_laws import SchemaLaws
from connectors.testing.writing import DestinationSystem


class DestinationContract(CommitLaws, MergeLaws, ColumnLaws, RejectedLaws, SchemaLaws, DeleteLaws):
    """Subclass it, supply the fixture ``system``, and say in ``lacks`` what it cannot do."""


__all__ = ["DestinationContract", "DestinationSystem", "Feature"]
