"""Every error the relay raises on purpose, grouped by who has to act; each knows its HTTP status.

* RelayError
  - SenderError         the caller must change something; the same bytes fail again        4xx
    · BadRequest        400   a parameter, a filter or a body that can't be read
    · SignatureError    401   not signed by who it should be
      UnusableSecret    503   the same, and our secret is why
    · NotFound          404   no such source, event or delivery
    · Conflict          409   not possible in the state it is in
    · Gone              410   it was there, and isn't kept any more
    · BodyTooLarge      413
    · Undeliverable     489   handed to us by QStash, and no retry can ever help
  - OperatorError       503   the relay's owner must act: a secret or a setting is missing
  - UpstreamError       503   nobody here is at fault; send it again later
    · HandshakeFailed         what a provider's handshake asks for couldn't be done
    · OutOfTime               no time was left to ask; nothing was tried
    · QStashError             QStash refused or didn't answer; knows whom that concerns
      AnswerTooLong           what it has to say is more than is read at once
      Untraceable             nobody can tell any more whether it ever had a message
      LogTooLong              it has more to tell of one delivery than can be read in a run
      Unsendable              what to publish can't be made of this event: the configuration must be mended
      Removed                 the destination has left the configuration: nothing goes there any more
    · Unready                 what it takes to publish this one thing isn't there yet
    · GitHubError             GitHub's API did; knows whether that passes by itself
    · Defect                  the relay's own code failed at one thing: others go on, and a person must look
"""

from __future__ import annotations

from relay.concern import Concern, concern_of


class RelayError(Exception):
    """A failure with a code for programs and a message for people; never a key, a body or an expected value."""

    status = 500
    code = "internal"
    retry_after_s: int | None = None


class SenderError(RelayError):
    """The caller must change something."""

    status = 400
    code = "bad_request"


class BadRequest(SenderError):
    """A parameter or body that can't be read; *code* names which kind."""

    def __init__(self, message: str, *, code: str = "bad_request") -> None:
        super().__init__(message)
        self.code = code


class SignatureError(SenderError):
    """The request isn't signed by who it should be; the message names the failed check and nothing else.

    Attributes:
        reason: A word for the failed check, out of a fixed set: `missing_header`, `malformed_header`, `bad_signature`,
            `expired_timestamp`, `future_timestamp`, `url_mismatch`, `body_mismatch`, `wrong_issuer`, `wrong_algorithm`,
            `untrusted_certificate`, `replayed`, `wrong_token`.
    """

    status = 401
    code = "signature"

    def __init__(self, message: str, *, reason: str = "bad_signature", status: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        if status is not None:
            self.status = status


class UnusableSecret(SignatureError):
    """None of the source's signing secrets can be used with its scheme: its owner must act; send it again."""

    status = 503
    code = "not_ready"
    retry_after_s = 60

    def __init__(self, message: str, *, reason: str = "unusable_secret") -> None:
        super().__init__(message, reason=reason)


class NotFound(SenderError):
    """There is no such thing."""

    status = 404
    code = "not_found"


class UnknownPath(NotFound):
    """Nothing is at that path of the relay's URL."""


class Conflict(SenderError):
    """The thing is in a state that doesn't allow this."""

    status = 409
    code = "conflict"


class Gone(SenderError):
    """The thing was there, and isn't kept any more."""

    status = 410
    code = "gone"


class BodyTooLarge(SenderError):
    """More bytes than the relay takes."""

    status = 413
    code = "body_too_large"


class Undeliverable(SenderError):
    """A delivery that no retry can ever bring to its target; QStash is told to stop."""

    status = 489
    code = "undeliverable"


class OperatorError(RelayError):
    """The relay's owner must act before this can work."""

    status = 503
    code = "not_ready"
    retry_after_s = 60


class UpstreamError(RelayError):
    """A service the relay stands on didn't do its part; the same request may work later, unless that is *permanent*."""

    status = 503
    code = "upstream"
    retry_after_s = 30
    permanent = False

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason


class HandshakeFailed(UpstreamError):
    """A provider's handshake is right, and what it asks for couldn't be done."""

    code = "handshake_failed"


class OutOfTime(UpstreamError):
    """The time of a run, or of a share of one, was over: the service wasn't asked, and what was to be done stays due.

    Attributes:
        concerns_all: Always: the others have no time either.
    """

    code = "out_of_time"
    concerns_all = True

    def __init__(self, service: str) -> None:
        super().__init__(service, "no time was left to ask it")


class QStashError(UpstreamError):
    """QStash refused or didn't answer.

    Attributes:
        answered: QStash's HTTP status, or None where no answer came.
        concern: Whom it concerns.
        permanent: The same publish can never succeed.
        refused: QStash took nothing of what was asked, because of what was asked: asked otherwise, it may.
        concerns_the_message: It may be due to one of several messages: the others may be taken.
        concerns_all: It is due to QStash, the account or the relay's token: no other may be taken now.
        quota: Which of the account's quotas is used up: `daily` (messages) or `burst` (calls); None: neither.
        after_doubt: It was asked the same before, and nobody knows whether QStash took it then.
        wait_s: How long it asked to be left alone, in seconds; 0: it didn't say.
    """

    def __init__(
        self,
        reason: str,
        *,
        answered: int | None = None,
        retry_after_s: int | None = None,
        quota: str | None = None,
    ) -> None:
        super().__init__("QStash", reason)
        self.answered = answered
        self.quota = quota
        self.concern = concern_of(answered, reason)
        self.permanent = self.concern is Concern.MESSAGE
        self.refused = self.concern in {Concern.MESSAGE, Concern.ENDPOINT, Concern.UNKNOWN}
        self.concerns_the_message = self.refused or self.concern is Concern.PLACE
        self.concerns_all = not self.concerns_the_message
        self.after_doubt = False
        self.wait_s = retry_after_s or 0
        if retry_after_s is not None:
            self.retry_after_s = retry_after_s


class AnswerTooLong(QStashError):
    """What QStash answers is more than is read at once: less can be asked for."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"an answer has over {most_bytes} bytes")
        self.concerns_all = False


class GitHubError(UpstreamError):
    """GitHub's API refused or didn't answer.

    Attributes:
        answered: GitHub's HTTP status, or None where no answer came that can be read.
        passing: It may work later without anybody's doing: the rate limit, an outage.
    """

    def __init__(self, reason: str, *, answered: int | None = None, limited: bool = False) -> None:
        super().__init__("GitHub", reason)
        self.answered = answered
        self.passing = limited or answered is None or answered >= 500


class Untraceable(QStashError):
    """Nobody can tell any more whether QStash ever had it: a person must decide."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.permanent = True


class LogTooLong(QStashError):
    """QStash's log has more lines of one thing than can be read at once; others' can."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.concerns_all = False


class Unsendable(QStashError):
    """What to publish can't be made of this event, as the configuration stands: a person must mend it, and replay."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.args = (reason,)  # QStash has no part in it
        self.permanent = True
        self.concerns_all = False


class Removed(QStashError):
    """A destination has left the configuration: what wasn't published to it by then never is."""

    def __init__(self) -> None:
        super().__init__("")
        self.args = ("its destination left the configuration before it was published",)  # QStash has no part in it
        self.permanent = True
        self.concerns_all = False


class Defect(UpstreamError):
    """The relay's own code failed at one thing, as nobody had thought of; what it is about is kept and tried again.

    It names the kind of failure and where it happened, never its text, which may hold what a stranger sent.

    Attributes:
        concerns_all: Never: it is this one's.
    """

    code = "defect"
    concerns_all = False

    def __init__(self, error: BaseException) -> None:
        super().__init__("the relay", f"its own code failed: {type(error).__name__}{_place(error)}")


def _place(error: BaseException) -> str:
    """Return where in the relay's own code *error* was raised."""
    found, at = "", error.__traceback__
    while at is not None:
        module = str(at.tb_frame.f_globals.get("__name__", ""))
        if module.startswith("relay."):
            found = f" in {module}, line {at.tb_lineno}"
        at = at.tb_next
    return found


class Unready(UpstreamError):
    """What it takes to publish one thing isn't there yet; others can be published.

    Attributes:
        concerns_all: Never: what is missing is this one's.
    """

    concerns_all = False
