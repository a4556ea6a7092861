"""The contract of a destination that takes upserts only: the laws of other modes are skipped."""

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from connectors.contract import WriteMode
from connectors.testing.destination_suite import DestinationContract

OTHER_MODES = (
    "test_append",
    "test_replace",
    "test_one_writer_commits_many_times",
    "test_an_empty_source_does_not_empty",
    "test_what_is_written_as_a_whole",
    "test_types_that_change_in_the_middle",
    "test_a_whole_read_replaces_what_earlier",
    "test_another_sync_of_the_dataset_keeps",
)
"""How the names of the laws begin that need another mode and are told none."""


class UpsertsOnly(DestinationContract):
    """Subclass it, and give the reason in ``one_mode``.

    ``cannot`` says of further laws, by how their names begin, why they cannot be kept.
    """

    one_mode: ClassVar[str]
    cannot: ClassVar[Mapping[str, str]] = {}

    @pytest.fixture(autouse=True)
    def only_what_it_can(self, request: pytest.FixtureRequest) -> None:
        """Visible reasons for what is skipped."""
        given = getattr(request.node, "callspec", None)
        reason = self.why_not(request.node.originalname, given.params if given else {})
        if reason is not None:
            pytest.skip(reason)

    def why_not(self, law: str, given: Mapping[str, Any]) -> str | None:
        """Why a law cannot be kept with these parameters, or None if it can."""
        for begins, reason in {**dict.fromkeys(OTHER_MODES, self.one_mode), **self.cannot}.items():
            if law.startswith(begins):
                return reason
        usual = given.get("usual")
        mode = given.get("mode") if usual is None else usual.write_mode
        return None if mode in (None, WriteMode.UPSERT) else self.one_mode
