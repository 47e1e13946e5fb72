"""SQS by its JSON protocol, with the settings of an actor's sidecar.

SQS cannot show a message without a receive. That hides the message from other consumers for a time, and counts one
more receive. So messages are hidden for a short time only, and given back as soon as possible.
"""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import urllib3

from crds.transport import aws_host
from messages.aws import Credentials, find_credentials, signed, utc_now
from messages.broker import BrokerError, Held

TIMEOUT: Final = urllib3.Timeout(connect=5.0, read=40.0)
BATCH: Final = 10
HIDDEN_SECONDS: Final = 60
"""How long held messages stay hidden if this process is killed before it gives them back."""
WATCH_SECONDS: Final = 5
"""How long a watch hides the messages that it reads."""
EMPTY_ANSWERS: Final = 3
"""After this number of empty responses a queue counts as empty. A receive asks only some of SQS' servers."""
MISSING: Final = ("QueueDoesNotExist", "NonExistentQueue")
DENIED: Final = ("AccessDenied", "InvalidClientTokenId", "SignatureDoesNotMatch", "ExpiredToken", "UnrecognizedClient")


class Sqs:
    """One account's queues in one region; implements :class:`messages.broker.Broker`."""

    def __init__(self, env: Mapping[str, str], endpoint: str = "") -> None:
        """Read the settings and find credentials.

        Args:
            env: the sidecar's environment variables.
            endpoint: URL of a forwarded port, to use instead of the sidecar's endpoint.

        Raises:
            BrokerError: if there are no credentials.
        """
        self._region = env.get("ASYA_AWS_REGION") or env.get("AWS_REGION") or "us-east-1"
        own = f"https://{aws_host('sqs', self._region)}"
        self._endpoint = (endpoint or env.get("ASYA_SQS_ENDPOINT") or own).rstrip("/")
        self._base = (env.get("QUEUE_BASE_URL") or "").rstrip("/")
        self._pool = urllib3.PoolManager()
        self._credentials: Credentials = find_credentials(env, self._region, self._pool)
        self._held: dict[str, Held] = {}
        """Held messages by receipt."""

    def length(self, queue: str) -> int | None:
        """The approximate number of messages that wait in a queue; None if the queue does not exist."""
        try:
            attributes = self._attributes(queue, "ApproximateNumberOfMessages")
        except BrokerError as error:
            if error.problem == "QueueMissing":
                return None
            raise
        return int(attributes.get("ApproximateNumberOfMessages", 0))

    def dead_letter_queues(self, queue: str) -> tuple[str, ...]:
        """The queue that the redrive policy of ``queue`` names; empty without a policy."""
        try:
            policy = json.loads(self._attributes(queue, "RedrivePolicy").get("RedrivePolicy") or "{}")
        except BrokerError as error:
            if error.problem == "QueueMissing":
                return ()
            raise
        target = str(policy.get("deadLetterTargetArn") or "").rpartition(":")[2]
        return (target,) if target else ()

    def publish(self, queue: str, body: bytes, key: str = "") -> None:
        """Send a message.

        Raises:
            BrokerError: if SQS refuses the message, or it is not UTF-8.
        """
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise BrokerError("Refused", "SQS accepts text only, and the message is not valid UTF-8") from None
        self._call("SendMessage", queue, MessageBody=text)

    def hold(self, queue: str, most: int) -> Iterator[Held]:
        """Up to ``most`` messages of a queue, hidden from other consumers until they are given back."""
        empty, count = 0, 0
        yielded: set[str] = set()
        while count < most and empty < EMPTY_ANSWERS:
            messages = self._receive(queue, min(BATCH, most - count), HIDDEN_SECONDS)
            empty = 0 if messages else empty + 1
            batch = [(_held(queue, message), message) for message in messages]
            self._held.update({held.receipt: held for held, _ in batch})  # also if the caller stops within the batch
            for held, message in batch:
                if message["MessageId"] not in yielded:
                    yielded.add(message["MessageId"])
                    count += 1
                    yield held

    def is_worn(self, held: Held) -> bool:
        """Always False: a redrive policy moves messages and never removes one."""
        return False

    def remove(self, held: Held) -> None:
        """Delete a held message."""
        self._call("DeleteMessage", held.queue, ReceiptHandle=held.receipt)
        self._held.pop(held.receipt, None)

    def move_to_end(self, held: Held) -> None:
        """Send a held message again, then delete the old one."""
        self.publish(held.queue, held.body)
        self.remove(held)

    def give_back(self) -> None:
        """Make held messages visible to other consumers at once."""
        by_queue: dict[str, list[str]] = {}
        for held in self._held.values():
            by_queue.setdefault(held.queue, []).append(held.receipt)
        for queue, receipts in by_queue.items():
            self._show(queue, receipts)
        self._held.clear()

    def watch(self, queues: Mapping[str, str], exchange: str) -> "Arrivals":
        """Watch by polling the queues."""
        return Arrivals(self, tuple(queues))

    def close(self) -> None:
        """Give held messages back and close the connections."""
        self.give_back()
        self._pool.clear()

    # -- requests --------------------------------------------------------------------------------

    def _receive(self, queue: str, most: int, hidden: int, wait: int = 0) -> list[dict[str, Any]]:
        """Receive up to ``most`` messages and hide them for ``hidden`` seconds; wait up to ``wait`` seconds for one."""
        response = self._call(
            "ReceiveMessage",
            queue,
            MaxNumberOfMessages=most,
            VisibilityTimeout=hidden,
            WaitTimeSeconds=wait,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )
        return response.get("Messages") or []

    def _show(self, queue: str, receipts: list[str]) -> None:
        for n in range(0, len(receipts), BATCH):
            entries = [
                {"Id": str(i), "ReceiptHandle": receipt, "VisibilityTimeout": 0}
                for i, receipt in enumerate(receipts[n : n + BATCH])
            ]
            self._call("ChangeMessageVisibilityBatch", queue, Entries=entries)

    def _attributes(self, queue: str, name: str) -> dict[str, str]:
        return self._call("GetQueueAttributes", queue, AttributeNames=[name]).get("Attributes") or {}

    def _call(self, action: str, queue: str, **parameters: Any) -> dict[str, Any]:
        body = json.dumps({"QueueUrl": f"{self._base}/{queue}", **parameters}).encode()
        headers = {"X-Amz-Target": f"AmazonSQS.{action}", "Content-Type": "application/x-amz-json-1.0"}
        url = f"{self._endpoint}/"
        headers = signed(
            self._credentials, "POST", url, headers, body, region=self._region, service="sqs", now=utc_now()
        )
        try:
            response = self._pool.request("POST", url, body=body, headers=headers, timeout=TIMEOUT, retries=False)
        except urllib3.exceptions.HTTPError as error:
            raise BrokerError(
                "Unreachable",
                f"SQS at {self._endpoint} does not answer ({type(error).__name__}): check spec.transport.sqs and the "
                "network",
            ) from None
        try:
            parsed = json.loads(response.data or b"{}")
        except ValueError:
            parsed = {}
        if response.status == 200 and isinstance(parsed, dict):
            return parsed
        raise self._refusal(action, queue, response.status, parsed if isinstance(parsed, dict) else {})

    def _refusal(self, action: str, queue: str, status: int, error: Mapping[str, Any]) -> BrokerError:
        code = str(error.get("__type", ""))
        text = str(error.get("message") or error.get("Message") or "") or f"HTTP {status}"
        if any(word in code for word in MISSING):
            return BrokerError("QueueMissing", f"the queue {queue!r} does not exist: create it under {self._base}")
        if status == 403 or any(word in code for word in DENIED):
            return BrokerError(
                "AccessDenied", f"AWS refuses sqs:{action} on {queue!r}: {text}. Give the identity that right"
            )
        return BrokerError("Refused", f"SQS refuses {action} on {queue!r}: {text}")


class Arrivals:
    """Polls queues. A message that it has read stays hidden from other consumers for WATCH_SECONDS at a time."""

    def __init__(self, sqs: Sqs, queues: tuple[str, ...]) -> None:
        self._sqs, self._queues = sqs, queues
        self._known: set[str] = set()
        self._hidden: dict[str, dict[str, str]] = {queue: {} for queue in queues}
        """By queue and message id: the latest receipt."""

    def arrivals(self, seconds: float) -> Iterator[tuple[str, bytes]]:
        """Queue and body of each message that is in a queue or arrives within ``seconds``."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for queue in self._queues:
                for message in self._messages(queue):
                    self._hidden[queue][message["MessageId"]] = message["ReceiptHandle"]
                    if message["MessageId"] not in self._known:
                        self._known.add(message["MessageId"])
                        yield queue, message["Body"].encode()

    def _messages(self, queue: str) -> list[dict[str, Any]]:
        try:
            return self._sqs._receive(queue, BATCH, WATCH_SECONDS, wait=1)
        except BrokerError as error:
            if error.problem != "QueueMissing":
                raise
            time.sleep(1)
            return []

    def close(self) -> None:
        """Make the messages visible to other consumers."""
        for queue, receipts in self._hidden.items():
            if receipts:
                self._sqs._show(queue, list(receipts.values()))


def _held(queue: str, message: Mapping[str, Any]) -> Held:
    count = (message.get("Attributes") or {}).get("ApproximateReceiveCount")
    deliveries = int(count) - 1 if count is not None else None
    return Held(queue, message["ReceiptHandle"], message["Body"].encode(), deliveries)
