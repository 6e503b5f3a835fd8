"""Where the process that publishes a post is killed, or its answer lost."""

from enum import StrEnum


class Point(StrEnum):
    """A point in the publication of one post."""

    NONE = "none"
    BEFORE_INTENT = "before the intent"
    AFTER_INTENT = "after the intent"
    DURING_UPLOAD = "during upload"
    AFTER_REMOTE_COMMIT = "after the remote commit"
    BEFORE_LOCAL_COMMIT = "before the local commit"
    ANSWER_LOST = "the answer to a commit is lost"

    @property
    def kills(self) -> bool:
        """Tell whether the process dies there."""
        return self not in (Point.NONE, Point.ANSWER_LOST)
