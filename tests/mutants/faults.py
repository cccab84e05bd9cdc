"""The faults: each one line or two of the code as a tired person might have written it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """One fault: in which file of the code, what stands there, and what it becomes.

    Attributes:
        tests: The tests nearest to it, where their names don't say so.
    """

    name: str
    file: str
    right: str
    wrong: str
    tests: tuple[str, ...] = ()

    def near(self, root: Path) -> list[str]:
        """Return the tests nearest to it under *root*, as pytest is told: those of its module, if none are named."""
        if self.tests:
            return list(self.tests)
        found = (root / "tests" / "unit" / "relay").glob(f"test_{Path(self.file).stem}*.py")
        return sorted(str(it.relative_to(root)) for it in found)

    def plant(self, root: Path) -> None:
        """Put the fault into the code under *root*.

        Raises:
            SystemExit: What it replaces isn't there exactly once: the code has changed, and the fault must follow.
        """
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.right) != 1:
            raise SystemExit(f"{self.name}: {self.file} has {text.count(self.right)} times {self.right!r}, not once")
        path.write_text(text.replace(self.right, self.wrong), encoding="utf-8")


RELAY = "functions/relay/"
FAULTS = (
    Fault(
        "put-without-condition",
        f"{RELAY}store.py",
        "old = self.table.put_if_absent(event_item(event, due_at))",
        "old = self.table.put(event_item(event, due_at))",
    ),
    Fault(
        "own-put-taken-for-a-duplicate",
        f"{RELAY}accept.py",
        "if old is not None and old.generation != event.generation:",
        "if old is not None:",
        ("tests/unit/relay/test_put_recognised.py",),
    ),
    Fault(
        "expired-counts-as-there",
        f"{RELAY}table.py",
        'condition = "attribute_not_exists(pk) OR expires_at <= :now"',
        'condition = "attribute_not_exists(pk) OR expires_at < :now AND expires_at > :now"',
        ("tests/unit/relay/test_store.py",),
    ),
    Fault(
        "delivery-overwritten",
        f"{RELAY}store.py",
        'old = self.table.put_if(item, "version = :version", {":version": before.version})',
        'old = self.table.put_if(item, "version = :version OR version <> :version", {":version": before.version})',
    ),
    Fault(
        "mark-removed-without-condition",
        f"{RELAY}store.py",
        'ours = "generation = :generation"',
        'ours = "generation = :generation OR generation <> :generation"',
    ),
    Fault(
        "mark-goes-before-the-records",
        f"{RELAY}publish.py",
        "        failures = self._recorded(",
        "        self._take_off_marks(parcels, range(len(parcels)))\n        failures = self._recorded(",
    ),
    Fault(
        "sweep-skips-a-shard",
        f"{RELAY}sweep.py",
        "for number in range(SHARDS):",
        "for number in range(SHARDS - 1):",
    ),
    Fault(
        "sweep-begins-at-the-same-place",
        f"{RELAY}sweep.py",
        "shard = (begin + number) % SHARDS",
        "shard = number",
    ),
    Fault(
        "sweep-without-lease",
        f"{RELAY}sweep.py",
        "while taken and _has_time():",
        "while _has_time():",
        ("tests/unit/relay/test_upkeep.py",),
    ),
    Fault(
        "quota-is-not-heeded",
        f"{RELAY}sweep.py",
        "if isinstance(it, QStashError) and it.quota:",
        "if isinstance(it, QStashError) and it.quota == 'monthly':",
    ),
    Fault(
        "refused-batch-is-given-up",
        f"{RELAY}sending.py",
        "if len(messages) == 1 or not fails_at_one:",
        "if len(messages) < 99 or not fails_at_one:",
        ("tests/unit/relay/test_publish_batches.py",),
    ),
    Fault(
        "generation-left-out-of-the-id",
        f"{RELAY}model.py",
        'hashlib.sha256("\\0".join((relay, event, generation, scope)).encode())',
        'hashlib.sha256("\\0".join((relay, event, scope)).encode())',
    ),
    Fault(
        "relay-left-out-of-the-id",
        f"{RELAY}model.py",
        'hashlib.sha256("\\0".join((relay, event, generation, scope)).encode())',
        'hashlib.sha256("\\0".join((event, generation, scope)).encode())',
    ),
    Fault(
        "log-is-not-asked",
        f"{RELAY}already.py",
        "return parcel.may_be_there_under_another_id or is_old or",
        "return parcel.may_be_there_under_another_id or",
        ("tests/unit/relay/test_accept_publishes.py",),
    ),
    Fault(
        "drifted-is-published-blindly",
        f"{RELAY}already.py",
        "return parcel.may_be_there_under_another_id or is_old or",
        "return is_old or",
        ("tests/unit/relay/test_audit.py",),
    ),
    Fault(
        "truncated-log-is-believed",
        f"{RELAY}qstash.py",
        "return not more and size < LOG_LITTLE_BYTES",
        "return True",
    ),
    Fault(
        "callback-rank-inverted",
        f"{RELAY}model.py",
        "RANK = {status: rank for rank, status in enumerate(Status)}",
        "RANK = {status: -rank for rank, status in enumerate(Status)}",
    ),
    Fault(
        "old-generation-settles-the-new",
        f"{RELAY}model.py",
        "    if generation != it.generation:\n        return it\n    raised",
        "    raised",
    ),
    Fault(
        "mac-not-checked",
        f"{RELAY}callbacks.py",
        "if not hmac.compare_digest(",
        "if False and not hmac.compare_digest(",
        ("tests/unit/relay/test_audit_callbacks.py",),
    ),
    Fault(
        "signature-not-bound-to-the-url",
        f"{RELAY}signing.py",
        'if claims.get("sub") not in urls:',
        'if claims.get("sub") is None:',
    ),
    Fault(
        "failure-counts-as-delivered",
        f"{RELAY}callbacks.py",
        "succeeded = 200 <= status < 300 and address.kind == CALLBACK",
        "succeeded = status < 300 and address.kind == CALLBACK",
        ("tests/unit/relay/test_settle.py",),
    ),
    Fault(
        "nobody-looks-after-what-is-in-flight",
        f"{RELAY}model.py",
        "due_at=look_at if self.status is Status.PENDING else self.due_at or look_at,",
        "due_at=None,",
    ),
    Fault(
        "one-look-decides",
        f"{RELAY}watch.py",
        "if since is None or now - since < LOG_LAG:",
        "if False:",
    ),
    Fault(
        "lost-is-left-lost",
        f"{RELAY}watch.py",
        "if seen and not begun:",
        "if seen and not begun and generation is None:",
    ),
    Fault(
        "begun-is-made-again",
        f"{RELAY}watch.py",
        "if seen and not begun:",
        "if seen:",
    ),
    Fault(
        "duplicate-opens-all-again",
        f"{RELAY}accept.py",
        "if it.status in DEAD]",
        "if it.status]",
    ),
    Fault(
        "duplicate-never-opens",
        f"{RELAY}accept.py",
        "if it.status in DEAD]",
        "if it.status is None]",
        ("tests/unit/relay/test_conflicts.py",),
    ),
    Fault(
        "conflict-dropped",
        f"{RELAY}accept.py",
        "conflict = event.sha256 != old.sha256",
        "conflict = False",
        ("tests/unit/relay/test_audit_asked.py",),
    ),
    Fault(
        "spooled-is-forgotten-first",
        f"{RELAY}unspool.py",
        "done.unspooled += taking.take(store.spooled_data(key))\n",
        "data = store.spooled_data(key)\n"
        "                store.unspool(key)\n"
        "                done.unspooled += taking.take(data)\n",
        ("tests/unit/relay/test_accept.py",),
    ),
    Fault(
        "acknowledged-though-nothing-was-saved",
        f"{RELAY}accept.py",
        "        store.spool(webhook.dump())\n        return webhook\n",
        "        return webhook\n",
    ),
    Fault(
        "replayed-without-its-record",
        f"{RELAY}table.py",
        'new = {"TableName": self.name, "Item": wire(item), "ConditionExpression": "attribute_not_exists(pk)"}',
        'new = {"TableName": self.name, "Item": wire(item)}',
        ("tests/unit/relay/test_bulk_once.py",),
    ),
    Fault(
        "replayed-while-under-way",
        f"{RELAY}replay.py",
        "REPLAYABLE = frozenset(Status) - OPEN",
        "REPLAYABLE = frozenset(Status)",
    ),
    Fault(
        "replayed-dead-letter-stays",
        f"{RELAY}model.py",
        "replaced_dlq_id=self.dlq_id or self.replaced_dlq_id,",
        "replaced_dlq_id=None,",
    ),
    Fault(
        "audit-believes-the-index",
        f"{RELAY}ledger.py",
        "        return False  # on its way from one status to the next",
        "        return True",
    ),
    Fault(
        "audit-mends-nothing",
        f"{RELAY}audit.py",
        "    done.each(partial(_mend, store, done), (it for it in found.findings if it.mendable))\n",
        "    done.repaired += sum(it.mendable for it in found.findings)\n",
    ),
    Fault(
        "dead-callback-deleted-unread",
        f"{RELAY}audit.py",
        "        return False\n    done.settled += settled.became is not None",
        "        return True\n    done.settled += settled.became is not None",
    ),
    Fault(
        "route-that-cannot-tell-takes-it",
        f"{RELAY}routes.py",
        "        if wrong is not None:\n            skipped",
        "        if wrong is not None and not errors:\n            skipped",
        ("tests/unit/relay/test_unrouted.py",),
    ),
    Fault(
        "later-route-wins",
        f"{RELAY}routes.py",
        "groups.setdefault(group, it)",
        "groups[group] = it",
        ("tests/unit/relay/test_unrouted.py",),
    ),
    Fault(
        "routed-again-without-condition",
        f"{RELAY}store.py",
        'condition = "expected = :before AND generation = :generation AND attribute_not_exists(unpublished)"',
        'condition = "expected = :before AND generation = :generation OR attribute_exists(pk)"',
        ("tests/unit/relay/test_unrouted.py",),
    ),
    Fault(
        "held-is-published",
        f"{RELAY}parcels.py",
        "if it not in event.held and self.is_there(it)]",
        "if self.is_there(it)]",
        ("tests/unit/relay/test_unrouted.py",),
    ),
    Fault(
        "held-leaves-no-record",
        f"{RELAY}publish.py",
        "            self._end(event, paused, event.generation, *PAUSED)\n",
        "",
        ("tests/unit/relay/test_unrouted.py",),
    ),
    Fault(
        "strays-stay-held",
        f"{RELAY}audit.py",
        'released, said["held_after"] = release_strays(store, last.get("held_after"))',
        'released, said["held_after"] = [], None',
        ("tests/unit/relay/test_pauses.py",),
    ),
    Fault(
        "own-headers-go-to-the-group",
        f"{RELAY}settings.py",
        "plain = tuple(it for it in known if not self.destinations[it].headers)",
        "plain = known",
        ("tests/unit/relay/test_routes.py", "tests/infra/test_desired.py"),
    ),
    Fault(
        "own-headers-shown-in-qstash",
        f"{RELAY}parcels.py",
        'hidden = (*message.redact, *(f"header[{it}]" for it in own))',
        "hidden = (*message.redact,)",
        ("tests/unit/relay/test_routes.py",),
    ),
    Fault(
        "sync-removes-first",
        f"{RELAY}changes.py",
        "return [*puts, *removals(wanted, there)]",
        "return [*removals(wanted, there), *puts]",
        ("tests/unit/relay/test_sync.py",),
    ),
    Fault(
        "moved-goes-to-both-urls",
        f"{RELAY}already.py",
        "is_old or self._is_from_before(parcel)",
        "is_old",
        ("tests/unit/relay/test_urls_changed.py",),
    ),
    Fault(
        "moved-while-the-log-lags",
        f"{RELAY}already.py",
        "self._now - self._changed_at < DEPLOY_MARGIN + LOG_LAG",
        "self._now < self._changed_at",
        ("tests/unit/relay/test_urls_changed.py",),
    ),
    Fault(
        "moved-alone-is-not-known-again",
        f"{RELAY}tracks.py",
        "destination = row.endpoint or _labelled(row.labels, label)",
        "destination = row.endpoint",
        ("tests/unit/relay/test_urls_changed.py",),
    ),
    Fault(
        "sync-touches-others",
        f"{RELAY}sync.py",
        'dict(ask[kind](f"{relay}."))',
        "dict(ask[kind](relay))",
        ("tests/unit/relay/test_sync.py",),
    ),
    Fault(
        "sync-drops-what-waits",
        f"{RELAY}changes.py",
        'if name not in wanted[QUEUES] and not it["lag"]:',
        "if name not in wanted[QUEUES]:",
        ("tests/unit/relay/test_sync.py",),
    ),
    Fault(
        "tick-of-anybody",
        f"{RELAY}schedules.py",
        "if not hmac.compare_digest(said.query",
        "if said.query and not hmac.compare_digest(said.query",
    ),
    Fault(
        "any-body-handed-over",
        f"{RELAY}targets.py",
        "if not hmac.compare_digest(given,",
        "if given and not hmac.compare_digest(given,",
        ("tests/unit/relay/test_deliver.py",),
    ),
    Fault(
        "token-of-all-generations",
        f"{RELAY}handover.py",
        'said = f"{self.delivery}/{self.generation}"',
        'said = f"{self.delivery}"',
    ),
    Fault(
        "too-large-is-tried-again",
        f"{RELAY}handover.py",
        "        raise Undeliverable(f\"{it.target['kind']} takes",
        '        raise UpstreamError("AWS", f"{it.target[\'kind\']} takes',
    ),
    Fault(
        "poison-ends-the-run",
        f"{RELAY}parallel.py",
        "except Exception as error:  # noqa: BLE001  # one item, whatever is in it, never ends a run",
        "except LookupError as error:",
        ("tests/unit/relay/test_poison.py",),
    ),
    Fault(
        "poison-is-tried-for-ever",
        f"{RELAY}sweep.py",
        "if isinstance(error, Defect) and now - owed.since >= DEFECT_MAX:",
        "if isinstance(error, Defect) and now - owed.since >= DEFECT_MAX * 1000:",
        ("tests/unit/relay/test_poison.py",),
    ),
    Fault(
        "poison-costs-the-acknowledgement",
        f"{RELAY}accept.py",
        "    except Exception as error:  # noqa: BLE001  # who sent it is proven: it mustn't get lost",
        "    except LookupError as error:",
        ("tests/unit/relay/test_poison.py",),
    ),
    Fault(
        "huge-delay-breaks-the-routes",
        f"{RELAY}routes.py",
        "    except Exception as error:  # it is computed of the event alone: the same fails again",
        "    except ExpressionError as error:",
        ("tests/unit/relay/test_poison.py",),
    ),
    Fault(
        "query-is-no-part-of-the-identity",
        f"{RELAY}judgement.py",
        "(received.method, asked, event_type)",
        '(received.method, "", event_type)',
        ("tests/unit/relay/test_identity.py",),
    ),
    Fault(
        "times-make-another-event",
        f"{RELAY}judgement.py",
        "received.query_without(row.passing_parameters)",
        "received.query_without(row.secret_parameters)",
        ("tests/unit/relay/test_identity.py",),
    ),
    Fault(
        "token-of-nothing-is-let-in",
        f"{RELAY}signatures.py",
        "        if not value:  # else a template around nothing is what anybody can send",
        "        if value is None:",
        ("tests/unit/relay/test_fail_closed.py",),
    ),
    Fault(
        "attempts-grow-without-bound",
        f"{RELAY}model.py",
        "replace(self, attempts=_kept(attempts, self.generation)),",
        "replace(self, attempts=attempts),",
        ("tests/unit/relay/test_model_bounds.py",),
    ),
    Fault(
        "refused-entry-taken-for-accepted",
        f"{RELAY}sending.py",
        "_doubted(self.tried([message])[0]) if isinstance(answer, QStashError) else answer",
        "[] if isinstance(answer, QStashError) else answer",
        ("tests/unit/relay/test_shapes.py",),
    ),
    Fault(
        "dead-letters-deleted-by-a-body",
        f"{RELAY}qstash.py",
        """self.call("DELETE", f"/v2/dlq/{quote(id_, safe='')}", absent_is_fine=True)""",
        'self.call("DELETE", "/v2/dlq", json={"dlqIds": [id_]})',
        ("tests/unit/relay/test_qstash_log.py",),
    ),
    Fault(
        "rolled-key-stays-good",
        f"{RELAY}wiring.py",
        " or (now - read_at).total_seconds() >= KEYS_TRUSTED_S:",
        ":",
        ("tests/unit/relay/test_schedules.py",),
    ),
    Fault(
        "form-payload-is-no-body",
        f"{RELAY}content.py",
        "return Content(payload if is_payload else held, fields, text)",
        "return Content(held, fields, text)",
        ("tests/unit/relay/test_content.py",),
    ),
    Fault(
        "gzip-bomb-unpacked",
        f"{RELAY}content.py",
        "most = min(UNPACKED_MAX_BYTES, max(UNPACKED_FREE_BYTES, UNPACKED_MAX_TIMES * len(body)))",
        "most = 0",
        ("tests/unit/relay/test_content.py",),
    ),
    Fault(
        "transform-keeps-content-encoding",
        f"{RELAY}parcels.py",
        "content.is_sources if name in ENTITY_HEADERS else wanted",
        "wanted",
        ("tests/unit/relay/test_content.py",),
    ),
    Fault(
        "callback-counts-as-its-delivery",
        f"{RELAY}tracks.py",
        "if label is None or is_callback(row.url):",
        "if label is None:",
        ("tests/unit/relay/test_watch_settles.py",),
    ),
    Fault(
        "handed-over-twice",
        f"{RELAY}targets.py",
        "if delivery.handed_over_at is not None:",
        "if delivery.handed_over_at == 0:",
        ("tests/unit/relay/test_deliver.py",),
    ),
    Fault(
        "nameless-parameter-is-kept",
        f"{RELAY}judgement.py",
        "if name and size <= left:",
        "if size <= left:",
        ("tests/unit/relay/test_bounds.py",),
    ),
    Fault(
        "headers-grow-without-bound",
        f"{RELAY}judgement.py",
        "key=lambda it: it[0] not in named)), HEADERS_MAX_BYTES)",
        "key=lambda it: it[0] not in named)), 10**9)",
        ("tests/unit/relay/test_bounds.py",),
    ),
    Fault(
        "quarantine-judges-age-by-now",
        f"{RELAY}readmit.py",
        "at=held.received_at.timestamp()",
        "at=self.store.now().timestamp()",
        ("tests/unit/relay/test_quarantine.py",),
    ),
    Fault(
        "quarantine-keeps-what-no-secret-can-prove",
        f"{RELAY}quarantine.py",
        "check_form(source.row, held.received(()), at=now.timestamp())",
        "held.received(())",
        ("tests/unit/relay/test_quarantine.py",),
    ),
    Fault(
        "quarantine-grows-without-bound",
        f"{RELAY}cells.py",
        "(held < :most AND held_bytes <= :room)",
        "(held < :most OR held_bytes <= :room)",
        ("tests/unit/relay/test_quarantine.py", "tests/unit/relay/test_store.py::TestInMemory"),
    ),
    Fault(
        "expired-keeps-its-room",
        f"{RELAY}cells.py",
        "[at for at in _times(item) if at <= ttl(self.now())]",
        "[at for at in _times(item) if at <= 0]",
        ("tests/unit/relay/test_quarantine.py", "tests/unit/relay/test_store.py::TestInMemory"),
    ),
    Fault(
        "kept-request-forgotten-before-its-event-is-saved",
        f"{RELAY}readmit.py",
        "        webhook = Spooled(held.source,",
        "        self._forget(id_, held)\n        webhook = Spooled(held.source,",
        ("tests/unit/relay/test_quarantine.py",),
    ),
    Fault(
        "kept-duplicate-opens-dead-deliveries",
        f"{RELAY}accept.py",
        "event.received_at <= old.received_at",
        "event.received_at == old.received_at",
        ("tests/unit/relay/test_quarantine.py",),
    ),
    Fault(
        "quarantine-of-a-secret-in-the-clear",
        "infra/quarantine.py",
        "if not row.proves_later:",
        "if row.algorithms[0] in WHOLE:",
        ("tests/infra/test_quarantine.py",),
    ),
    Fault(
        "open-route-may-write-anything",
        "infra/writes.py",
        'EVENT = "rly_*"',
        'EVENT = "*"',
        ("tests/infra/test_leading_keys.py",),
    ),
    Fault(
        "redelivery-may-not-write-its-replay",
        "infra/writes.py",
        '"REPLAY#*", "REFUSAL#*", "QUARANTINE#*", "HANDSHAKE")',
        '"REFUSAL#*", "QUARANTINE#*", "HANDSHAKE")',
        ("tests/unit/relay/test_redelivery.py",),
    ),
    Fault(
        "record-may-not-count-orphans",
        "infra/writes.py",
        '"record": (EVENT, "ORPHAN#*", "COUNT"),',
        '"record": (EVENT, "ORPHAN#*"),',
        ("tests/unit/relay/test_settle.py",),
    ),
    Fault(
        "alarms-of-every-relay-of-the-account",
        "infra/alarms.py",
        'dimensions_map={"relay": self._relay, "service": verb},',
        'dimensions_map={"service": verb},',
        ("tests/infra/test_stack.py",),
    ),
    Fault(
        "metric-of-no-relay",
        f"{RELAY}metrics.py",
        "value, namespace=NAMESPACE, default_dimensions={**_OWN})",
        "value, namespace=NAMESPACE)",
    ),
    Fault(
        "function-doesnt-know-its-relay",
        f"{RELAY}wiring.py",
        "    count_for(found.settings.name)\n",
        "",
        ("tests/unit/relay/test_metrics.py",),
    ),
    Fault(
        "spooled-versions-stay-for-ever",
        "infra/storage.py",
        "prefix=SPOOL, expiration=kept, noncurrent_version_expiration=SPOOL_KEPT_ON",
        "prefix=SPOOL, expiration=kept",
        ("tests/infra/test_stack.py",),
    ),
    Fault(
        "alarms-may-not-publish",
        "infra/alarms.py",
        'iam.ServicePrincipal("cloudwatch.amazonaws.com")',
        'iam.ServicePrincipal("events.amazonaws.com")',
        ("tests/infra/test_stack.py",),
    ),
    Fault(
        "what-others-have-is-parsed",
        f"{RELAY}holdings.py",
        "if isinstance(name, str) and name.startswith(prefix):",
        "if name:",
        ("tests/unit/relay/test_shapes.py",),
    ),
    Fault(
        "first-deploy-joins-another-relay",
        f"{RELAY}sync.py",
        "_refuse_others({**there, PINS: {}}, relay)",
        "pass",
        ("tests/unit/relay/test_sync_first.py",),
    ),
    Fault(
        "destroy-takes-what-others-made",
        f"{RELAY}sync.py",
        "others = of_others(said, there)",
        "others: State = {kind: {} for kind in KINDS}",
        ("tests/unit/relay/test_sync_first.py",),
    ),
    Fault(
        "failed-first-deploy-leaves-its-groups",
        f"{RELAY}sync.py",
        "_take_back(wanted, actual(qstash, relay, kinds), qstash=qstash, store=store)",
        "pass",
        ("tests/unit/relay/test_sync_first.py",),
    ),
    Fault(
        "queue-goes-with-what-waits-in-it",
        f"{RELAY}sync.py",
        "return _with_queues(wanted, there) if is_used else wanted",
        "return wanted",
        ("tests/unit/relay/test_sync_kinds.py",),
    ),
    Fault(
        "what-is-owed-keeps-no-queue",
        f"{RELAY}feed.py",
        'self._owes(f"{OUTBOX}#{shard}", iso(by)) or ',
        "",
        ("tests/unit/relay/test_sync_kinds.py",),
    ),
    Fault(
        "unused-kinds-are-asked-for",
        f"{RELAY}sync.py",
        "if kind in kinds else {}",
        "if kinds is not None else {}",
        ("tests/unit/relay/test_sync_kinds.py",),
    ),
    Fault(
        "split-without-asking-the-log",
        f"{RELAY}publish.py",
        "at = now + (SWEEP_AFTER if is_known else LOG_LAG)",
        "at = now + SWEEP_AFTER",
        ("tests/unit/relay/test_publish_refused.py",),
    ),
    Fault(
        "split-after-a-doubtful-batch",
        f"{RELAY}publish.py",
        " and not why.after_doubt",
        "",
        ("tests/unit/relay/test_publish_refused.py",),
    ),
    Fault(
        "alone-before-its-group",
        f"{RELAY}sweep.py",
        "delivery.generation == event.generation and delivery.group in event.unpublished:",
        "delivery.generation == event.generation and delivery.group is None:",
        ("tests/unit/relay/test_publish_refused.py",),
    ),
    Fault(
        "publishing-takes-the-whole-run",
        f"{RELAY}sweep.py",
        "PUBLISH_SHARE = 0.5",
        "PUBLISH_SHARE = 1.0",
        ("tests/unit/relay/test_sweep_slow.py",),
    ),
    Fault(
        "nothing-left-for-the-spool",
        f"{RELAY}accept.py",
        "SAVE_LEAVES_S = 2.0",
        "SAVE_LEAVES_S = 0.0",
        ("tests/unit/relay/test_accept_budget.py",),
    ),
    Fault(
        "moved-endpoint-stays-while-functions-change",
        f"{RELAY}sync.py",
        "moving = {name for name, place in old.items() if new.get(name, place) != place}",
        "moving: set[str] = set()",
        ("tests/unit/relay/test_urls_changed.py", "tests/model/test_changes.py"),
    ),
    Fault(
        "group-gets-what-came-before-others-joined",
        f"{RELAY}parcels.py",
        "set(endpoints) <= set(names)",
        "set(endpoints) & set(names)",
        ("tests/unit/relay/test_followed.py", "tests/model/test_changes.py"),
    ),
    Fault(
        "removed-without-asking",
        f"{RELAY}already.py",
        "return self._is_again(parcel) if parcel.goes_nowhere else",
        "return False if parcel.goes_nowhere else",
        ("tests/unit/relay/test_followed.py",),
    ),
    Fault(
        "deploy-under-way-is-over",
        f"{RELAY}upkeep.py",
        'return min(self.now(), at + DEPLOY_MAX) if item.get("under_way") else at',
        "return at",
        ("tests/unit/relay/test_urls_changed.py",),
    ),
    Fault(
        "urls-learn-what-proves-a-hand-over",
        f"{RELAY}settings.py",
        "return urls or plain",
        "return plain",
        ("tests/unit/relay/test_followed.py", "tests/infra/test_desired.py"),
    ),
    Fault(
        "everybodys-dead-letters-deleted",
        f"{RELAY}qstash.py",
        """self.call("DELETE", f"/v2/dlq/{quote(id_, safe='')}", absent_is_fine=True)""",
        'self.call("DELETE", "/v2/dlq", json={"dlqIds": [id_]}, absent_is_fine=True)',
        ("tests/model/test_foreign.py",),
    ),
    Fault(
        "null-taken-for-no-retries",
        f"{RELAY}callbacks.py",
        'wire.get("maxRetries") is not None and',
        '"maxRetries" in wire and',
        ("tests/unit/relay/test_settle.py",),
    ),
    Fault(
        "slow-key-is-as-fast-as-any",
        "infra/local/qstash/line.py",
        "self._rests_until_s = self._clock.now() + self._rest_s()",
        "self._rests_until_s = self._clock.now()",
        ("tests/unit/qstash/test_switches.py",),
    ),
    Fault(
        "whole-batch-refused-for-an-item",
        "infra/local/qstash/routes.py",
        'if call.engine.settings.batch_refused == "whole":',
        "if call.engine.settings.batch_refused:",
        ("tests/unit/qstash/test_switches.py", "tests/unit/qstash/test_publish.py"),
    ),
    Fault(
        "spooled-of-a-gone-source-waits-for-ever",
        f"{RELAY}unspool.py",
        "settings.sources.get(webhook.source) or Source.gone(webhook.source),",
        "settings.source(webhook.source),",
        ("tests/unit/relay/test_accept.py",),
    ),
    Fault(
        "head-of-the-spool-starves-the-rest",
        f"{RELAY}unspool.py",
        "store, done = publisher.store, Taken(after=after)",
        "store, done = publisher.store, Taken()",
        ("tests/unit/relay/test_accept.py",),
    ),
)
