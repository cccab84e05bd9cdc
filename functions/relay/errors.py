"""Every error the relay raises on purpose, grouped by who has to act; each knows its HTTP status.

* RelayError
  - SenderError         the caller must change the request; the same bytes fail again      4xx
    · BadRequest        400   a parameter, a filter or a body can't be read
    · SignatureError    401   the expected sender didn't sign the request
      UnusableSecret    503   the relay's own secret can't be used
    · NotFound          404   there is no such source, event or delivery
    · WrongState        409   the state of the thing doesn't allow the request
    · Gone              410   the thing isn't kept any more
    · BodyTooLarge      413
    · Undeliverable     489   no retry of QStash can ever bring the delivery to its target
  - OperatorError       503   the relay's owner must act: a secret or a setting is missing
  - UpstreamError       503   another service failed: send the request again later
    · HandshakeFailed         a provider's handshake couldn't be completed
    · OutOfTime               no time was left for the call; nothing was tried
    · QStashError             QStash refused or didn't answer; knows whom that concerns
      AnswerTooLong           an answer has more bytes than are read at once
      Untraceable             nobody can tell any more whether QStash ever had the message
      LogTooLong              the log has more lines of one delivery than a run can read
      Unsendable              the configuration can't make a message of this event, and must be mended
      Removed                 the destination has left the configuration: nothing goes there any more
    · Unready                 a part that one publish needs is missing for now
    · GitHubError             GitHub's API refused or didn't answer; knows whether that passes by itself
    · Defect                  the relay's own code failed at one item: the others go on, and a person must look
"""

from __future__ import annotations

from relay.concern import Concern, concern_of


class RelayError(Exception):
    """A failure with a code for programs and a message for people; never a key, a body or an expected value."""

    status = 500
    code = "internal"
    retry_after_s: int | None = None


class SenderError(RelayError):
    """The caller must change the request."""

    status = 400
    code = "bad_request"


class BadRequest(SenderError):
    """A parameter or body can't be read; *code* names the kind."""

    def __init__(self, message: str, *, code: str = "bad_request") -> None:
        super().__init__(message)
        self.code = code


class SignatureError(SenderError):
    """The expected sender didn't sign the request; the message names the failed check and nothing else.

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
    """No signing secret of the source fits its scheme: the relay's owner must act; send the request again."""

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
    """No route has this path."""


class WrongState(SenderError):
    """The thing is in a state that doesn't allow this."""

    status = 409
    code = "conflict"


class Gone(SenderError):
    """The thing isn't kept any more."""

    status = 410
    code = "gone"


class BodyTooLarge(SenderError):
    """The body has more bytes than the relay takes."""

    status = 413
    code = "body_too_large"


class Undeliverable(SenderError):
    """No retry can ever bring the delivery to its target; the status tells QStash to stop."""

    status = 489
    code = "undeliverable"


class OperatorError(RelayError):
    """The relay's owner must act before the request can work."""

    status = 503
    code = "not_ready"
    retry_after_s = 60


class UpstreamError(RelayError):
    """A service that the relay needs failed; unless the failure is *permanent*, the same request may work later."""

    status = 503
    code = "upstream"
    retry_after_s = 30
    permanent = False

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason


class HandshakeFailed(UpstreamError):
    """A provider's handshake is valid, but the relay couldn't complete it."""

    code = "handshake_failed"


class OutOfTime(UpstreamError):
    """The time of a run, or of its share, was over: the service wasn't asked, and the work stays due.

    Attributes:
        concerns_all: Always true: the other messages have no time either.
    """

    code = "out_of_time"
    concerns_all = True

    def __init__(self, service: str) -> None:
        super().__init__(service, "no time was left to ask it")


class QStashError(UpstreamError):
    """QStash refused or didn't answer.

    Attributes:
        answered: QStash's HTTP status; None: no answer came.
        concern: Whom the refusal concerns.
        permanent: The same publish can never succeed.
        refused: QStash took nothing of the call because of its content; another content may succeed.
        concerns_the_message: One of several messages may be the cause; QStash may take the others.
        concerns_all: QStash, the account or the relay's token is the cause; QStash takes no message now.
        quota: The account's quota that is used up: `daily` (messages) or `burst` (calls); None: neither.
        after_doubt: The same call was made before, and nobody knows whether QStash took it then.
        wait_s: The seconds that QStash asks to wait; 0: it didn't say.
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
    """QStash's answer has more bytes than are read at once: ask for less."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(f"an answer has over {most_bytes} bytes")
        self.concerns_all = False


class GitHubError(UpstreamError):
    """GitHub's API refused or didn't answer.

    Attributes:
        answered: GitHub's HTTP status; None: no readable answer came.
        passing: The failure may pass by itself: the rate limit, an outage.
    """

    def __init__(self, reason: str, *, answered: int | None = None, limited: bool = False) -> None:
        super().__init__("GitHub", reason)
        self.answered = answered
        self.passing = limited or answered is None or answered >= 500


class Untraceable(QStashError):
    """Nobody can tell any more whether QStash ever had the message: a person must decide."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.permanent = True


class LogTooLong(QStashError):
    """QStash's log has more lines of one delivery than a run can read; other deliveries aren't affected."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.concerns_all = False


class Unsendable(QStashError):
    """The configuration can't make a message of this event: a person must mend the configuration, and replay."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.args = (reason,)  # QStash has no part in it
        self.permanent = True
        self.concerns_all = False


class Removed(QStashError):
    """The destination has left the configuration: deliveries not yet published never are."""

    def __init__(self) -> None:
        super().__init__("")
        self.args = ("its destination left the configuration before it was published",)  # QStash has no part in it
        self.permanent = True
        self.concerns_all = False


class Defect(UpstreamError):
    """The relay's own code failed at one item; the item is kept and tried again.

    The message names the kind of failure and its place in the code, never the failure's text, which may quote a
    stranger.

    Attributes:
        concerns_all: Always false: only this item is affected.
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
    """A part that one publish needs is missing for now; the others can be published.

    Attributes:
        concerns_all: Always false: only this publish is affected.
    """

    concerns_all = False
