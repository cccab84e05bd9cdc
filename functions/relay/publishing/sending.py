"""Sends messages to QStash: texts in batches, and singly if one message may have spoilt its batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Union

from relay.errors import OutOfTime, QStashError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.qstash.client import Accepted, Message, QStash

TOGETHER_MAX_BYTES = 8 * 1024 * 1024  # in a batch; QStash takes 100 MB
FAILED_MAX = 3  # failed calls in a row: then QStash itself is the cause, not a message

Answered = Union["list[Accepted]", QStashError, OutOfTime]
"""The messages that QStash took, or why it didn't."""


def sent(qstash: QStash, messages: Sequence[Message]) -> list[Answered]:
    """Send *messages*; return QStash's answer to each.  After a failure that concerns all, no more calls are made."""
    sending = _Sending(qstash)
    answers: dict[int, Answered] = {}
    for numbers in _batches(messages):
        tried = sending.tried([messages[number] for number in numbers])
        answers.update(zip(numbers, tried, strict=True))
    return [answers[number] for number in range(len(messages))]


class _Sending:
    """The calls of one sending."""

    def __init__(self, qstash: QStash) -> None:
        self._qstash = qstash
        self._failed = 0  # calls in a row
        self._in_vain: QStashError | OutOfTime | None = None  # why no more are made

    def tried(self, messages: Sequence[Message]) -> list[Answered]:
        if self._in_vain is not None:
            return [self._in_vain] * len(messages)
        try:
            answers = self._qstash.publish(messages)
        except OutOfTime as error:
            self._in_vain = error
            return [error] * len(messages)
        except QStashError as error:
            self._count(error)
            return self._without_the_bad_one(messages, error)
        self._failed = 0
        if len(messages) == 1:
            return [*answers]
        return [  # an error within a batch has no status: the message is sent again alone
            _doubted(self.tried([message])[0]) if isinstance(answer, QStashError) else answer
            for message, answer in zip(messages, answers, strict=True)
        ]

    def _count(self, error: QStashError) -> None:
        self._failed = self._failed + 1 if error.concerns_all else 0
        for_all = error.concerns_all and error.answered is not None and error.answered < 500
        if for_all or self._failed >= FAILED_MAX:
            self._in_vain = error

    def _without_the_bad_one(self, messages: Sequence[Message], error: QStashError) -> list[Answered]:
        """Send each of *messages* alone if one of them may be the cause of *error*; return the answers."""
        fails_at_one = error.concerns_the_message or (error.answered or 0) >= 500
        if len(messages) == 1 or not fails_at_one:
            return [error] * len(messages)
        alone = [it for message in messages for it in self.tried([message])]
        return list(map(_doubted, alone)) if error.concerns_all else alone


def _doubted(answer: Answered) -> Answered:
    """Return *answer*, marked as the answer to a repeated call, the first of which QStash may have taken."""
    if isinstance(answer, QStashError):
        answer.after_doubt = True
    return answer


def _batches(messages: Sequence[Message]) -> list[list[int]]:
    """Return the batches, as numbers of *messages*; a message that isn't text goes alone."""
    batches: list[list[int]] = []
    size = 0
    for number, message in enumerate(messages):
        if message.text is None:
            batches.append([number])
            size = TOGETHER_MAX_BYTES
        elif size + len(message.body) > TOGETHER_MAX_BYTES or not batches:
            batches.append([number])
            size = len(message.body)
        else:
            batches[-1].append(number)
            size += len(message.body)
    return batches
