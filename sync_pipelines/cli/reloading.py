"""``reload``: new code is taken up by what runs, without an interruption."""

from sync_pipelines.cli.doors import read_settings
from sync_pipelines.cli.output import tell
from sync_pipelines.runtime.reloading import ask_to_reload


def reload() -> None:
    """Let a running `up` load its code anew: new runs use it, those under way go on."""
    for line in ask_to_reload(read_settings().home_path):
        tell(line)
    tell("reloaded")
