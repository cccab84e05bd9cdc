"""The relay's table and bucket, and the permissions of each function on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.stack.writes import LEADING_KEYS

if TYPE_CHECKING:
    from infra.stack.functions import RelayFunction

BODIES = "bodies/"
SPOOL = "spool/"
QUARANTINE = "quarantine/"
QUARANTINE_DAYS = 31  # where no source has a quarantine any more: requests from before go then
# How long an overwritten or deleted object can be had back.
BODY_KEPT_ON = Duration.days(1)
SPOOL_KEPT_ON = Duration.days(7)
_READ = ("GetItem", "Query")
_WRITE = ("PutItem", "UpdateItem")  # no Scan: no question needs one; no DeleteItem: records expire
_FEED_ATTRIBUTES = [
    *("kind", "source", "event_type", "destination", "group", "status", "received_at", "updated_at", "size_bytes"),
    *("sha256", "idempotency_key", "attempts_count", "message_id", "dlq_id", "generation", "expires_at"),
    *(
        "content_type",
        "unpublished",
        "handed_over_at",
        "suspected_replay_of",
        "reconciled_at",
        "expected",
        "conflicts",
        "reason",
        "due_sk",
    ),
]


class Storage(Construct):
    """The table and the bucket.  Both outlive the stack: they hold the events that the relay promised not to lose."""

    def __init__(self, scope: Construct, id_: str, *, retention_days: int, quarantine_days: int | None = None) -> None:
        super().__init__(scope, id_)
        self.table = self._table()
        # A day more than the records, so that no record ever points at a body that is gone.
        kept = Duration.days(retention_days + 1)
        self.bucket = s3.Bucket(
            self,
            "Bucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            versioned=True,  # no function may delete a version: an acknowledged webhook can be had back
            lifecycle_rules=[
                s3.LifecycleRule(
                    id="bodies", prefix=BODIES, expiration=kept, noncurrent_version_expiration=BODY_KEPT_ON
                ),
                s3.LifecycleRule(
                    id="spool", prefix=SPOOL, expiration=kept, noncurrent_version_expiration=SPOOL_KEPT_ON
                ),
                s3.LifecycleRule(
                    id="quarantine",
                    prefix=QUARANTINE,
                    expiration=Duration.days(quarantine_days or QUARANTINE_DAYS),
                    noncurrent_version_expiration=BODY_KEPT_ON,
                ),
                # An expiration only puts a delete marker before a version: without this, markers stay for ever.
                s3.LifecycleRule(id="markers", expired_object_delete_marker=True),
                s3.LifecycleRule(id="uploads", abort_incomplete_multipart_upload_after=Duration.days(1)),
            ],
            removal_policy=RemovalPolicy.RETAIN,
        )

    def grant_accept(self, function: RelayFunction) -> None:
        """Let *function* save events, bodies that are too large for an item, and webhooks while the table is down."""
        self._grant_own_records(function)
        function.allow("SaveBodies", ["s3:PutObject"], [self._bodies])
        function.allow("Spool", ["s3:PutObject"], [self._spool])

    def grant_quarantine(self, function: RelayFunction) -> None:
        """Let *function* keep refused requests, find them again, and forget them."""
        actions = ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"]
        function.allow("Quarantine", actions, [self.bucket.arn_for_objects(f"{QUARANTINE}*")])
        function.add_to_role_policy(self._find(QUARANTINE, "FindQuarantined"))

    def _find(self, prefix: str, sid: str) -> iam.PolicyStatement:
        """Return the statement that lets a function list the objects under *prefix*."""
        return iam.PolicyStatement(
            sid=sid,
            actions=["s3:ListBucket"],
            resources=[self.bucket.bucket_arn],
            conditions={"StringLike": {"s3:prefix": f"{prefix}*"}},
        )

    def grant_record(self, function: RelayFunction) -> None:
        """Let *function* record how deliveries end."""
        self._grant_own_records(function)

    def grant_deliver(self, function: RelayFunction) -> None:
        """Let *function* record a delivery's hand-over, and read the body behind a claim check."""
        self._grant_own_records(function)
        self._grant_bodies(function)

    def grant_query(self, function: RelayFunction) -> None:
        """Let *function* answer questions, and make the new generations of a replay."""
        self._grant_records(function)
        self._grant_indexes(function)
        self._grant_bodies(function)
        function.add_to_role_policy(self._find(SPOOL, "FindSpooled"))

    def grant_sweep(self, function: RelayFunction) -> None:
        """Let *function* find due deliveries, publish and record them, and take in spooled webhooks."""
        self._grant_records(function)
        self._grant_indexes(function)
        self._grant_bodies(function)
        function.allow("SaveBodies", ["s3:PutObject"], [self._bodies])
        function.allow("TakeIn", ["s3:GetObject", "s3:DeleteObject"], [self._spool])
        function.allow("FindSpooled", ["s3:ListBucket"], [self.bucket.bucket_arn])

    def grant_audit(self, function: RelayFunction) -> None:
        """Let *function* balance the ledger, and repair it."""
        self._grant_records(function)
        self._grant_indexes(function)

    def grant_claim(self, function: RelayFunction) -> None:
        """Let *function* look an event up, and redirect to its body."""
        function.allow("LookUp", ["dynamodb:GetItem"], [self.table.table_arn])
        self._grant_bodies(function)

    def grant_sync(self, function: RelayFunction) -> None:
        """Let *function* keep the desired resources of QStash in the table, and look for deliveries in flight."""
        self._grant_records(function)
        self._grant_indexes(function)

    def grant_reconcile(self, function: RelayFunction) -> None:
        """Let *function* look events up by the hundred, and record the missing events of a source."""
        self._grant_records(function)
        function.allow("LookUp", ["dynamodb:BatchGetItem"], [self.table.table_arn])

    @property
    def _bodies(self) -> str:
        return self.bucket.arn_for_objects(f"{BODIES}*")

    @property
    def _spool(self) -> str:
        return self.bucket.arn_for_objects(f"{SPOOL}*")

    def _grant_records(self, function: RelayFunction) -> None:
        actions = [f"dynamodb:{verb}" for verb in (*_READ, *_WRITE)]
        function.allow("Records", actions, [self.table.table_arn])

    def _grant_own_records(self, function: RelayFunction) -> None:
        """Let *function*, which anybody reaches, read all items and write only those with its own keys.

        IAM checks each item of a transaction or a batch.  No write lacks a key, so that no `Null` condition is needed.
        """
        function.allow("Read", [f"dynamodb:{verb}" for verb in _READ], [self.table.table_arn])
        function.allow(
            "Write",
            [f"dynamodb:{verb}" for verb in _WRITE],
            [self.table.table_arn],
            conditions={"ForAllValues:StringLike": {"dynamodb:LeadingKeys": [*LEADING_KEYS[function.verb]]}},
        )

    def _grant_indexes(self, function: RelayFunction) -> None:
        function.allow("Indexes", ["dynamodb:Query"], [f"{self.table.table_arn}/index/*"])

    def _grant_bodies(self, function: RelayFunction) -> None:
        function.allow("ReadBodies", ["s3:GetObject"], [self._bodies])

    def _table(self) -> dynamodb.Table:
        table = dynamodb.Table(
            self,
            "Table",
            partition_key=_key("pk"),
            sort_key=_key("sk"),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires_at",
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=True,
            removal_policy=RemovalPolicy.RETAIN,
        )
        table.add_global_secondary_index(
            index_name="feed",
            partition_key=_key("feed_pk"),
            sort_key=_key("feed_sk"),
            projection_type=dynamodb.ProjectionType.INCLUDE,
            non_key_attributes=_FEED_ATTRIBUTES,
        )
        table.add_global_secondary_index(
            index_name="due",
            partition_key=_key("due_pk"),
            sort_key=_key("due_sk"),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        return table


def _key(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)
