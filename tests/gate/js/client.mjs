// The local QStash judged by npm's client: every call that it has, told only where and who.
//
// Takes as its argument what two servers say of themselves, one with the limits of the free plan; writes a line of JSON for every scenario: {name, error}, null where it holds.
// The last scenario finds the calls by introspection, so that none of a newer SDK is forgotten.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import * as sdk from "@upstash/qstash";

const { paid, free } = JSON.parse(process.argv[2]);
const { url: baseUrl, token } = paid;

const SINK = "https://sink.requestcatcher.com/"; // the server answers these itself: with success,
const GONE = "https://mock.httpstatus.io/404"; // with 404 Not Found,
const BROKEN = "https://mock.httpstatus.io/500"; // and with 500
const CALLBACK = "https://callback.requestcatcher.com/";
const PATIENCE_MS = 5_000;
const HOUR_MS = 3_600_000;

// Not QStash's: the first belongs to another service, the second calls a language model and not QStash's API.
const NOT_JUDGED = ["Workflow", "Chat"];
const called = new Set();
const publicNames = (prototype) =>
  Object.entries(Object.getOwnPropertyDescriptors(prototype)).filter(([name]) => name !== "constructor");

/** Return the client, or one of its resources, as it is, but with its calls noted. */
function noted(object) {
  return new Proxy(object, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (typeof value === "function") {
        called.add(`${target.constructor.name}.${name}`);
        return (...given) => {
          const result = value.apply(target, given);
          return result?.http ? noted(result) : result;
        };
      }
      return value?.http ? noted(value) : value;
    },
  });
}

const client = noted(new sdk.Client({ baseUrl, token }));
const scenarios = [];
const scenario = (name, body) => scenarios.push({ name, body });
const fresh = (kind) => `${kind}-${randomBytes(4).toString("hex")}`;
const redacted = (value) => `REDACTED:${createHash("sha256").update(value).digest("hex")}`;
const base64 = (value) => Buffer.from(value).toString("base64");
const refused = (status, text = /./) => ({ name: "QstashError", status, message: text });

/** Look until there is something to see, and return what is seen in the end. */
async function eventually(look) {
  const deadline = Date.now() + PATIENCE_MS;
  let seen = await look();
  while (!(Array.isArray(seen) ? seen.length : seen) && Date.now() < deadline) {
    await sleep(20);
    seen = await look();
  }
  return seen;
}

const rows = (messageId, state) =>
  eventually(async () => (await client.logs({ filter: { messageId, state } })).logs);
const states = async (messageId) =>
  (await client.logs({ filter: { messageId } })).logs.map((row) => row.state).reverse();
const waiting = async (options = {}) =>
  (await client.publish({ url: SINK, delay: "1h", ...options })).messageId;

/** Let messages die, and return their dead letters, the oldest first. */
async function casualties(count, options = {}) {
  const label = fresh("dead");
  await client.batch(Array.from({ length: count }, () => ({ url: GONE, retries: 0, label, ...options })));
  const of = () => client.dlq.listMessages({ filter: { label } });
  await eventually(async () => (await of()).messages.length === count);
  return { label, dead: (await of()).messages, left: async () => (await of()).messages.map((it) => it.dlqId) };
}

// Publishing

scenario("a message reads back as it was asked for", async () => {
  const key = fresh("key");
  const { messageId } = await client.publish({
    url: "https://sink.requestcatcher.com/a%20b?x=1&y=%20",
    body: "hi",
    method: "PUT",
    headers: { "content-type": "text/plain", "my-header": "v", "upstash-forward-x": "y", "Upstash-Callback-Retries": "1" },
    delay: 60,
    retries: 2,
    retryDelay: "pow(2, retried) * 1000",
    timeout: "90s",
    callback: CALLBACK,
    failureCallback: `${CALLBACK}failed`,
    label: ["l1", "l2"],
    flowControl: { key, parallelism: 3, rate: 4, period: 2 },
  });
  const { createdAt, callbackHeader, failureCallbackHeader, ...message } = await client.messages.get(messageId);
  assert.deepEqual(message, {
    messageId,
    url: "https://sink.requestcatcher.com/a%20b?x=1&y=%20",
    urlGroup: undefined,
    body: "hi",
    method: "PUT",
    header: { "Content-Type": ["text/plain"], "My-Header": ["v"], X: ["y"] },
    maxRetries: 2,
    retryDelayExpression: "pow(2, retried) * 1000",
    notBefore: createdAt + 60_000,
    callback: CALLBACK,
    failureCallback: `${CALLBACK}failed`,
    callerIP: "127.0.0.1",
    label: "l1",
    labels: ["l1", "l2"],
    flowControlKey: key,
    parallelism: 3,
    rate: 4,
    ratePerSecond: 4,
    period: 2,
  });
});

scenario("a message without options has the service's defaults, and no trace of telemetry", async () => {
  const message = await client.messages.get(await waiting());
  assert.deepEqual(
    [message.method, message.maxRetries, message.header, message.body, message.label, message.labels],
    ["POST", 3, undefined, undefined, undefined, undefined],
  );
});

scenario("headers that a client sends with every call are forwarded", async () => {
  const every = new sdk.Client({ baseUrl, token, headers: { "global-h": "gv" }, enableTelemetry: false });
  const { messageId } = await every.publish({ url: SINK, delay: 3_600, headers: { "own-h": "ov" } });
  const message = await client.messages.get(messageId);
  assert.deepEqual(message.header, { "Global-H": ["gv"], "Own-H": ["ov"] });
});

scenario("a moment in fractions of a second is kept in whole seconds", async () => {
  const moment = Date.now() / 1000 + 7_200;
  const { messageId } = await client.publish({ url: SINK, notBefore: moment });
  assert.equal((await client.messages.get(messageId)).notBefore, Number(moment.toFixed(0)) * 1000);
});

scenario("json is published as json", async () => {
  const full = await client.publishJSON({ url: SINK, body: { a: 1 }, delay: 3_600 });
  const empty = await client.publishJSON({ url: SINK, delay: 3_600 });
  const message = await client.messages.get(full.messageId);
  assert.deepEqual([message.body, message.header], ['{"a":1}', { "Content-Type": ["application/json"] }]);
  assert.equal((await client.messages.get(empty.messageId)).body, undefined);
});

scenario("redacted fields are hidden in the message and in the log", async () => {
  const options = { body: "secret", headers: { Authorization: "Bearer x", "X-A": "a" } };
  const some = await waiting({ ...options, redact: { body: true, header: ["Authorization"] } });
  const all = await waiting({ ...options, redact: { header: true } });
  const message = await client.messages.get(some);
  const [row] = await rows(some, "CREATED");
  assert.deepEqual([message.body, row.body], [redacted("secret"), redacted("secret")]);
  assert.deepEqual(message.header.Authorization, [redacted("Bearer x")]);
  assert.deepEqual(message.header["X-A"], ["a"]);
  const { header, body } = await client.messages.get(all);
  assert.deepEqual([body, header["X-A"]], ["secret", [redacted("a")]]);
});

scenario("a delivered message was delivered once and can still be read", async () => {
  const { messageId } = await client.publishJSON({ url: SINK, body: 1 });
  assert.equal((await rows(messageId, "DELIVERED")).length, 1);
  assert.deepEqual(await states(messageId), ["CREATED", "ACTIVE", "DELIVERED"]);
  assert.equal((await client.messages.get(messageId)).messageId, messageId);
});

scenario("a language model is a destination that reports to the callback", async () => {
  const callback = CALLBACK + fresh("llm");
  const api = { name: "llm", provider: sdk.openai({ token: "sk-1", organization: "org" }) };
  const { messageId } = await client.publishJSON({ api, body: { model: "x" }, callback });
  const [row] = await rows(messageId, "DELIVERED");
  assert.equal(row.url, "https://api.openai.com/v1/chat/completions");
  assert.deepEqual(row.header.Authorization, ["Bearer sk-1"]);
  assert.deepEqual(row.header["Openai-Organization"], ["org"]);
  const reported = await eventually(async () => (await client.logs({ filter: { url: callback, state: "DELIVERED" } })).logs);
  assert.equal(reported.length, 1);
});

scenario("a language model of one's own is a destination", async () => {
  const api = { name: "llm", provider: sdk.custom({ baseUrl: "https://llm.requestcatcher.com", token: "t" }) };
  const { messageId } = await client.publishJSON({ api, body: { model: "x" }, callback: CALLBACK });
  const [row] = await rows(messageId, "DELIVERED");
  assert.deepEqual([row.url, row.header.Authorization], ["https://llm.requestcatcher.com/v1/chat/completions", ["Bearer t"]]);
});

scenario("an email provider is a destination", async () => {
  const api = { name: "email", provider: sdk.resend({ token: "re-1" }) };
  const { messageId } = await client.publishJSON({ api, body: { from: "x" } });
  const [row] = await rows(messageId, "DELIVERED");
  assert.deepEqual([row.url, row.header.Authorization], ["https://api.resend.com/emails", ["Bearer re-1"]]);
});

scenario("a publish to a group is one message for each endpoint, under either name of groups", async () => {
  const name = fresh("group");
  await client.urlGroups.addEndpoints({ name, endpoints: [{ name: "one", url: `${SINK}1` }, { url: `${SINK}2` }] });
  const answers = [
    await client.publishJSON({ urlGroup: name, body: 1, delay: 3_600 }),
    await client.publishJSON({ topic: name, body: 1, delay: 3_600 }),
    await client.queue({ queueName: fresh("queue") }).enqueueJSON({ urlGroup: name, body: 1 }),
  ];
  for (const answer of answers) {
    assert.deepEqual(answer.map((it) => it.url), [`${SINK}1`, `${SINK}2`]);
    assert.deepEqual(answer.map((it) => Object.keys(it).toSorted()), Array(2).fill(["messageId", "url"]));
  }
  const [first, second] = await Promise.all(answers[0].map((it) => client.messages.get(it.messageId)));
  assert.deepEqual([first.urlGroup, first.topicName, first.endpointName], [name, name, "one"]);
  assert.deepEqual([second.urlGroup, second.endpointName], [name, undefined]);
});

scenario("a duplicate is answered with the id of the first", async () => {
  const again = { url: SINK, deduplicationId: fresh("once") };
  const first = await client.publish(again);
  const second = await client.publish({ ...again, body: "other" });
  assert.deepEqual(Object.keys(first), ["messageId"]);
  assert.deepEqual(second, { messageId: first.messageId, deduplicated: true });
});

scenario("a duplicate is found by its content where that is asked for", async () => {
  const again = { url: SINK, contentBasedDeduplication: true, body: fresh("body") };
  const first = await client.publish(again);
  const second = await client.publish(again);
  const other = await client.publish({ ...again, body: `${again.body}!` });
  assert.deepEqual(
    [first.deduplicated, second.deduplicated, other.deduplicated, second.messageId === first.messageId],
    [undefined, true, undefined, true],
  );
});

scenario("a batch answers item by item", async () => {
  const [group, queueName] = [fresh("group"), fresh("queue")];
  await client.urlGroups.addEndpoints({ name: group, endpoints: [{ url: `${SINK}1` }, { url: `${SINK}2` }] });
  const [plain, fan, queued] = await client.batch([
    { url: SINK, body: "x", method: "GET", headers: { h: "v", "content-type": "text/plain" }, delay: "1h" },
    { urlGroup: group, delay: "1h" },
    { url: SINK, queueName, body: "q" },
  ]);
  const message = await client.messages.get(plain.messageId);
  assert.deepEqual([message.method, message.body], ["GET", "x"]);
  assert.deepEqual(message.header, { "Content-Type": ["text/plain"], H: ["v"] });
  assert.equal(message.notBefore - message.createdAt, HOUR_MS);
  assert.deepEqual(fan.map((it) => it.url), [`${SINK}1`, `${SINK}2`]);
  assert.equal((await client.messages.get(queued.messageId)).queueName, queueName);
});

scenario("a batch of json keeps each item's options", async () => {
  const key = fresh("key");
  const answers = await client.batchJSON([
    { url: SINK, body: { a: 1 }, flowControl: { key, rate: 23, period: "1h" }, delay: "1h" },
    { url: SINK, delay: "1h" },
  ]);
  const [full, empty] = await Promise.all(answers.map((it) => client.messages.get(it.messageId)));
  assert.deepEqual([full.body, full.header], ['{"a":1}', { "Content-Type": ["application/json"] }]);
  assert.deepEqual([full.flowControlKey, full.rate, full.period, full.parallelism], [key, 23, 3_600, undefined]);
  assert.deepEqual([empty.body, empty.flowControlKey], [undefined, undefined]);
});

// Messages

scenario("one message is cancelled, and counted", async () => {
  const [first, second] = [await waiting(), await waiting()];
  assert.deepEqual(await client.messages.cancel(first), { cancelled: 1 });
  assert.equal(await client.messages.delete(second), undefined);
  assert.deepEqual(await states(first), ["CREATED", "CANCEL_REQUESTED", "CANCELED"]);
  for (const id of [first, second]) {
    await assert.rejects(client.messages.get(id), refused(404, new RegExp(`message ${id} not found`)));
    await assert.rejects(client.messages.cancel(id), refused(404));
  }
});

scenario("many messages are cancelled by id, and counted exactly", async () => {
  await client.messages.cancel({ all: true });
  const ids = [await waiting(), await waiting(), await waiting(), await waiting()];
  assert.deepEqual(await client.messages.cancel(ids.slice(0, 2)), { cancelled: 2 });
  assert.deepEqual(await client.messages.cancel({ messageIds: ids.slice(0, 3) }), { cancelled: 1 });
  assert.equal(await client.messages.deleteMany(ids), 1);
  assert.deepEqual(await client.messages.cancel([]), { cancelled: 0 });
});

scenario("all messages are cancelled, at most as many as asked for", async () => {
  await client.messages.deleteAll();
  await Promise.all([waiting(), waiting(), waiting()]);
  assert.deepEqual(await client.messages.cancel({ all: true, count: 1 }), { cancelled: 1 });
  assert.deepEqual(await client.messages.cancel({ all: true }), { cancelled: 2 });
  await waiting();
  assert.equal(await client.messages.deleteAll(), 1);
  assert.equal(await client.messages.deleteAll(), 0);
});

scenario("each filter cancels what it names, and leaves the rest", async () => {
  await client.messages.deleteAll();
  const [group, label, key, queueName] = ["group", "label", "key", "queue"].map(fresh);
  await client.urlGroups.addEndpoints({ name: group, endpoints: [{ url: `${SINK}${group}` }] });
  const queue = client.queue({ queueName });
  await queue.upsert({ paused: true });
  const publish = {
    url: () => waiting({ url: `${SINK}url?x=1` }),
    host: () => waiting({ url: "https://host.requestcatcher.com/" }),
    path: () => waiting({ url: `${SINK}only/path` }),
    label: () => waiting({ label: ["other", label] }),
    flowControlKey: () => waiting({ flowControl: { key, parallelism: 1 } }),
    queueName: () => queue.enqueue({ url: SINK }),
    urlGroup: () => client.publish({ urlGroup: group, delay: "1h" }),
  };
  const filters = {
    url: `${SINK}url?x=1`,
    host: "host.requestcatcher.com",
    path: "/only/path",
    label,
    flowControlKey: key,
    queueName,
    urlGroup: group,
  };
  await waiting({ label: "other" });
  for (const [name, value] of Object.entries(filters)) {
    await publish[name]();
    await publish[name]();
    const none = await client.messages.cancel({ filter: { [name]: fresh("nothing") } });
    const one = await client.messages.cancel({ filter: { [name]: value }, count: 1 });
    const rest = await client.messages.cancel({ filter: { [name]: value } });
    assert.deepEqual([name, none.cancelled, one.cancelled, rest.cancelled], [name, 0, 1, 1]);
  }
  assert.equal(await client.messages.deleteAll(), 1);
});

scenario("values of a filter are alternatives, filters must all be met", async () => {
  await client.messages.deleteAll();
  const [one, other] = [`${SINK}one`, `${SINK}other`];
  for (const url of [one, other, other, `${SINK}third`]) await waiting({ url, label: "l" });
  const from = Date.now() - 60_000;
  const cancel = async (filter) => (await client.messages.cancel({ filter })).cancelled;
  assert.equal(await cancel({ url: one, label: "m" }), 0);
  assert.equal(await cancel({ url: one, toDate: new Date(from) }), 0);
  assert.equal(await cancel({ url: [one, other], label: "l", callerIp: "127.0.0.1", fromDate: from }), 3);
  assert.equal(await client.messages.deleteAll(), 1);
});

scenario("a message between its attempts can be cancelled", async () => {
  const { messageId } = await client.publish({ url: BROKEN, retries: 3 });
  await rows(messageId, "RETRY");
  assert.deepEqual(await client.messages.cancel([messageId]), { cancelled: 1 });
});

// URL groups

scenario("a group's endpoints have a url, and a name where one was given", async () => {
  const name = fresh("group");
  await client.urlGroups.addEndpoints({ name, endpoints: [{ name: "n", url: `${SINK}1` }, { url: `${SINK}2` }] });
  const group = await client.urlGroups.get(name);
  assert.deepEqual(group.endpoints, [{ name: "n", url: `${SINK}1` }, { url: `${SINK}2` }]);
  assert.equal(group.name, name);
  assert.ok(Number.isInteger(group.createdAt) && group.createdAt <= group.updatedAt);
  assert.ok((await client.urlGroups.list()).some((it) => it.name === name));
  assert.deepEqual(await client.topics.get(name), group);
});

scenario("endpoints go by name or by url, and the group with the last", async () => {
  const name = fresh("group");
  await client.urlGroups.addEndpoints({ name, endpoints: [{ name: "n", url: `${SINK}1` }, { url: `${SINK}2` }] });
  await client.urlGroups.removeEndpoints({ name, endpoints: [{ name: "n" }] });
  assert.deepEqual((await client.urlGroups.get(name)).endpoints, [{ url: `${SINK}2` }]);
  await client.urlGroups.removeEndpoints({ name, endpoints: [{ url: `${SINK}2` }] });
  await assert.rejects(client.urlGroups.get(name), refused(404));
});

scenario("a deleted group is gone and may be deleted again", async () => {
  const name = fresh("group");
  await client.urlGroups.addEndpoints({ name, endpoints: [{ url: SINK }] });
  await client.urlGroups.delete(name);
  await client.urlGroups.delete(name);
  assert.ok(!(await client.urlGroups.list()).some((it) => it.name === name));
  await assert.rejects(client.publish({ urlGroup: name }), refused(404, new RegExp(`topic ${name} not found`)));
});

// Queues

scenario("a queue reads back as it was made", async () => {
  const name = fresh("queue");
  const queue = client.queue({ queueName: name });
  await queue.upsert({ parallelism: 2, paused: true });
  const { createdAt, updatedAt, ...made } = await queue.get();
  assert.deepEqual(made, { name, parallelism: 2, lag: 0, paused: true });
  assert.ok(Number.isInteger(createdAt) && createdAt <= updatedAt);
  await queue.upsert({ paused: true });
  assert.equal((await queue.get()).parallelism, 1);
  await queue.upsert({ parallelism: 2 });
  assert.equal((await queue.get()).paused, false);
  assert.ok((await client.queue().list()).some((it) => it.name === name && it.parallelism === 2));
  await queue.delete();
  await queue.delete();
  await assert.rejects(queue.get(), refused(404));
});

scenario("a paused queue holds its messages, and resumed delivers them in order", async () => {
  const queue = client.queue({ queueName: fresh("queue") });
  await queue.upsert({ parallelism: 1 });
  await queue.pause();
  const first = await queue.enqueue({ url: `${SINK}1`, body: "b" });
  const second = await queue.enqueueJSON({ url: `${SINK}2`, body: { b: 1 }, label: "l" });
  const { lag, paused } = await queue.get();
  const held = [await states(first.messageId), await states(second.messageId)];
  await queue.resume();
  assert.deepEqual({ lag, paused, held }, { lag: 2, paused: true, held: [["CREATED"], ["CREATED"]] });
  const [[one], [two]] = [await rows(first.messageId, "DELIVERED"), await rows(second.messageId, "DELIVERED")];
  assert.ok(one.time <= two.time);
  assert.deepEqual([two.queueName, two.label], [(await queue.get()).name, "l"]);
  const message = await client.messages.get(first.messageId);
  assert.deepEqual(message.header, { "Content-Type": ["text/plain;charset=UTF-8"] });
  assert.ok(await eventually(async () => (await queue.get()).lag === 0));
});

// Schedules

scenario("a schedule reads back as it was asked for", async () => {
  const [scheduleId, queueName, key] = ["schedule", "queue", "key"].map(fresh);
  const made = await client.schedules.create({
    destination: `${SINK}a?b=%20`,
    cron: "CRON_TZ=America/New_York 0 4 * * *",
    scheduleId,
    queueName,
    body: JSON.stringify({ a: 1 }),
    headers: { "test-header": "test-value", "Upstash-Forward-bypass": "client-test" },
    method: "PATCH",
    delay: 10,
    retries: 1,
    retryDelay: "1000 * (1 + retried)",
    timeout: 30,
    callback: CALLBACK,
    failureCallback: `${CALLBACK}failed`,
    label: ["l1", "l2"],
    flowControl: { key, rate: 5, period: "1m" },
  });
  assert.deepEqual(made, { scheduleId });
  const schedule = await client.schedules.get(scheduleId);
  assert.deepEqual(schedule.header, {
    Bypass: ["client-test"],
    "Content-Type": ["application/json"],
    "Test-Header": ["test-value"],
  });
  const { destination, cron, method, body, delay, retries, retryDelayExpression, timeout, isPaused } = schedule;
  assert.deepEqual(
    { destination, cron, method, body, delay, retries, retryDelayExpression, timeout, isPaused },
    {
      destination: `${SINK}a?b=%20`,
      cron: "CRON_TZ=America/New_York 0 4 * * *",
      method: "PATCH",
      body: '{"a":1}',
      delay: 10,
      retries: 1,
      retryDelayExpression: "1000 * (1 + retried)",
      timeout: 30,
      isPaused: false,
    },
  );
  assert.deepEqual([schedule.callback, schedule.failureCallback], [CALLBACK, `${CALLBACK}failed`]);
  assert.deepEqual([schedule.label, schedule.labels, schedule.queueName], ["l1", ["l1", "l2"], queueName]);
  assert.deepEqual([schedule.flowControlKey, schedule.ratePerSecond, schedule.period], [key, 5, 60]);
  assert.ok(schedule.nextScheduleTime > Date.now());
  const listed = (await client.schedules.list()).find((it) => it.scheduleId === scheduleId);
  assert.deepEqual([listed.rate, listed.ratePerSecond, listed.cron], [5, 5, cron]);
});

scenario("a schedule made again is replaced whole", async () => {
  const again = { destination: SINK, scheduleId: fresh("schedule") };
  await client.schedules.create({ ...again, cron: "@hourly", body: "b", retries: 1, label: "l" });
  await client.schedules.create({ ...again, cron: "*/10 * * * *" });
  const schedule = await client.schedules.get(again.scheduleId);
  assert.deepEqual([schedule.cron, schedule.body, schedule.retries, schedule.label], ["*/10 * * * *", undefined, 3, undefined]);
  assert.deepEqual([schedule.header, schedule.method], [{ "Content-Type": ["application/json"] }, "POST"]);
});

scenario("redacted fields of a schedule are hidden", async () => {
  const { scheduleId } = await client.schedules.create({
    destination: SINK,
    cron: "@hourly",
    body: "secret",
    headers: { "X-A": "a" },
    redact: { body: true, header: ["X-A"] },
  });
  const { body, header } = await client.schedules.get(scheduleId);
  assert.deepEqual([body, header["X-A"], header["Content-Type"]], [redacted("secret"), [redacted("a")], ["application/json"]]);
});

scenario("a schedule runs, is paused, resumed and deleted", async () => {
  const name = fresh("group");
  await client.urlGroups.addEndpoints({ name, endpoints: [{ url: SINK }] });
  const { scheduleId } = await client.schedules.create({ destination: name, cron: "@every 1s" });
  assert.match(scheduleId, /^scd_[1-9A-HJ-NP-Za-km-z]{28}$/);
  const [row] = await eventually(async () => (await client.logs({ filter: { scheduleId, state: "DELIVERED" } })).logs);
  await client.schedules.pause({ schedule: scheduleId });
  const paused = await client.schedules.get(scheduleId);
  await client.schedules.resume({ schedule: scheduleId });
  const resumed = await client.schedules.get(scheduleId);
  await client.schedules.delete(scheduleId);
  assert.deepEqual([row.scheduleId, row.urlGroup], [scheduleId, name]);
  assert.deepEqual([paused.isPaused, resumed.isPaused], [true, false]);
  assert.deepEqual(Object.values(paused.lastScheduleStates), ["SUCCESS"]);
  assert.ok(!(await client.schedules.list()).some((it) => it.scheduleId === scheduleId));
  await assert.rejects(client.schedules.get(scheduleId), refused(404));
});

scenario("a schedule that would never run is refused", async () => {
  await assert.rejects(client.schedules.create({ destination: SINK, cron: " " }), refused(400, /empty spec string/));
  await assert.rejects(client.schedules.create({ destination: SINK, cron: "61 * * * *" }), refused(400));
});

// Dead letters

scenario("a dead letter says what was sent and what came back", async () => {
  const { label, dead } = await casualties(1, { body: "b", method: "PUT" });
  const [found] = dead;
  assert.match(found.dlqId, /^\d{13}-\d+$/);
  assert.deepEqual([found.responseStatus, found.responseBody], [404, "404 Not Found"]);
  assert.ok(Array.isArray(found.responseHeader["Content-Type"]));
  assert.deepEqual([found.url, found.body, found.method, found.maxRetries], [GONE, "b", "PUT", 0]);
  assert.deepEqual([found.label, found.labels], [label, [label]]);
});

scenario("each filter of dead letters finds what it names", async () => {
  const [name, queueName, key, label] = ["group", "queue", "key", "label"].map(fresh);
  await client.urlGroups.addEndpoints({ name, endpoints: [{ url: BROKEN }] });
  const before = Date.now();
  const one = { retries: 0, label: ["x", label] };
  await client.publish({ ...one, urlGroup: name, flowControl: { key, parallelism: 1 } });
  await client.queue({ queueName }).enqueue({ ...one, url: `${GONE}?n=1` });
  const find = async (filter) => (await client.dlq.listMessages({ filter })).messages;
  await eventually(async () => (await find({ label })).length === 2);
  const [grouped] = await find({ label, urlGroup: name });
  const [queued] = await find({ label, queueName });
  assert.deepEqual([grouped.urlGroup, queued.queueName], [name, queueName]);
  const expected = [
    [{ messageId: grouped.messageId }, [grouped]],
    [{ url: `${GONE}?n=1` }, [queued]],
    [{ url: [`${GONE}?n=1`, BROKEN] }, [grouped, queued]],
    [{ responseStatus: 500 }, [grouped]],
    [{ responseStatus: [404, 500] }, [grouped, queued]],
    [{ flowControlKey: key }, [grouped]],
    [{ callerIp: "127.0.0.1" }, [grouped, queued]],
    [{ callerIp: "127.0.0.2" }, []],
    [{ fromDate: before }, [grouped, queued]],
    [{ fromDate: new Date(Date.now() + 60_000) }, []],
    [{ toDate: before - 1 }, []],
    [{ scheduleId: "none" }, []],
  ];
  for (const [filter, wanted] of expected) {
    const ids = (await find({ label, ...filter })).map((it) => it.dlqId).toSorted();
    assert.deepEqual([filter, ids], [filter, wanted.map((it) => it.dlqId).toSorted()]);
  }
});

scenario("a filter that dead letters don't have is refused", async () => {
  for (const call of ["listMessages", "delete", "retry"]) {
    await assert.rejects(client.dlq[call]({ filter: { labeel: "l" } }), refused(400, /labeel/));
  }
});

scenario("a cursor leads through all dead letters, and is absent at the end", async () => {
  const { label, dead, left } = await casualties(3);
  const first = await client.dlq.listMessages({ count: 2, filter: { label } });
  const second = await client.dlq.listMessages({ count: 2, filter: { label }, cursor: first.cursor });
  assert.deepEqual([...first.messages, ...second.messages], dead);
  assert.deepEqual([typeof first.cursor, second.cursor], ["string", undefined]);
  const { messages } = await client.dlq.listMessages({ dlqIds: [dead[0].dlqId, dead[2].dlqId] });
  assert.deepEqual(messages, [dead[0], dead[2]]);
  assert.equal((await left()).length, 3);
  assert.ok((await client.dlq.listMessages()).messages.length >= 3);
});

scenario("dead letters are deleted in every way there is, and counted", async () => {
  const { label, dead, left } = await casualties(6);
  const [one, two, three, four, five, six] = dead.map((it) => it.dlqId);
  assert.deepEqual(await client.dlq.delete(one), { deleted: 1 });
  await assert.rejects(client.dlq.delete(one), refused(404));
  assert.deepEqual(await client.dlq.delete([two, "1-0"]), { deleted: 1 });
  assert.deepEqual(await client.dlq.delete({ dlqIds: [three] }), { deleted: 1 });
  assert.deepEqual(await client.dlq.deleteMany({ dlqIds: [four, three] }), { deleted: 1 });
  assert.deepEqual(await client.dlq.delete([]), { deleted: 0 });
  assert.deepEqual(await left(), [five, six]);
  const { deleted, cursor } = await client.dlq.delete({ filter: { label }, count: 1 });
  assert.deepEqual([deleted, typeof cursor], [1, "string"]);
  assert.deepEqual(await client.dlq.delete({ filter: { label }, cursor }), { deleted: 1 });
  assert.deepEqual(await left(), []);
});

scenario("all dead letters are deleted, in as many calls as it takes", async () => {
  await client.dlq.delete({ all: true });
  await casualties(3);
  let [deleted, calls, cursor] = [0, 0];
  do {
    const result = await client.dlq.delete({ all: true, count: 2, cursor });
    [deleted, calls, cursor] = [deleted + result.deleted, calls + 1, result.cursor];
  } while (cursor);
  assert.deepEqual([deleted, calls], [3, 2]);
  assert.deepEqual(await client.dlq.listMessages(), { messages: [], cursor: undefined });
});

scenario("dead letters are retried in every way there is, under a new id", async () => {
  await client.dlq.delete({ all: true });
  const { label, dead, left } = await casualties(6, { body: "b" });
  const [one, two, three] = dead;
  const answers = [
    await client.dlq.retry(one.dlqId),
    await client.dlq.retry([two.dlqId]),
    await client.dlq.retry({ dlqIds: [three.dlqId] }),
    await client.dlq.retry({ filter: { label }, count: 1 }),
  ];
  assert.deepEqual(answers.map((it) => it.responses.length), [1, 1, 1, 1]);
  assert.deepEqual(answers.slice(0, 3).map((it) => it.cursor), [undefined, undefined, undefined]);
  const { messageId } = answers[0].responses[0];
  assert.match(messageId, /^msg_/);
  assert.notEqual(messageId, one.messageId);
  assert.deepEqual(await client.dlq.retry([]), { responses: [] });
  const again = await eventually(async () => (await client.dlq.listMessages({ filter: { messageId } })).messages);
  assert.deepEqual(again.map((it) => [it.url, it.body, it.label]), [[GONE, "b", label]]);
  assert.ok(!(await left()).includes(one.dlqId));
  await eventually(async () => (await left()).length === 6);
  const all = await client.dlq.retry({ all: true });
  assert.deepEqual([all.responses.length, all.cursor], [6, undefined]);
});

// The log

scenario("a failure is told in four rows, with the response", async () => {
  const { messageId } = await client.publish({ url: GONE, retries: 0, body: "b", label: ["l1", "l2"], timeout: 30 });
  await rows(messageId, "FAILED");
  assert.deepEqual(await states(messageId), ["CREATED", "ACTIVE", "ERROR", "FAILED"]);
  const [row] = await rows(messageId, "ERROR");
  assert.deepEqual([row.responseStatus, row.responseBody, row.body], [404, base64("404 Not Found"), base64("b")]);
  assert.deepEqual(row.responseHeaders, row.responseHeader);
  assert.deepEqual([row.label, row.labels, row.method, row.maxRetries, row.timeout], ["l1", ["l1", "l2"], "POST", 0, 30_000]);
});

scenario("a retry is told with its time and its rule", async () => {
  const { messageId } = await client.publish({ url: BROKEN, retries: 1, retryDelay: "20 * (1 + retried)" });
  await rows(messageId, "FAILED");
  assert.deepEqual(await states(messageId), ["CREATED", "ACTIVE", "ERROR", "RETRY", "ACTIVE", "ERROR", "FAILED"]);
  const [row] = await rows(messageId, "RETRY");
  assert.equal(row.retryDelayExpression, "20 * (1 + retried)");
  assert.ok(row.nextDeliveryTime >= row.time && row.nextDeliveryTime <= row.time + 100);
});

scenario("each filter of the log finds what it names", async () => {
  const [name, queueName, key, label] = ["group", "queue", "key", "label"].map(fresh);
  await client.urlGroups.addEndpoints({ name, endpoints: [{ url: `https://log.requestcatcher.com/${name}?a=1` }] });
  const [one] = await client.publish({ urlGroup: name, label: ["x", label], flowControl: { key, parallelism: 1 } });
  const two = await client.queue({ queueName }).enqueue({ url: SINK });
  await rows(one.messageId, "DELIVERED");
  await rows(two.messageId, "DELIVERED");
  const filters = [
    { messageId: one.messageId },
    { url: one.url },
    { url: [one.url, "https://other.requestcatcher.com/"] },
    { host: "log.requestcatcher.com" },
    { path: `/${name}` },
    { urlGroup: name },
    { label },
    { flowControlKey: key },
  ];
  for (const filter of filters) {
    const { logs } = await client.logs({ filter });
    const found = logs.map((row) => [row.messageId, row.state]).reverse();
    const wanted = ["CREATED", "ACTIVE", "DELIVERED"].map((state) => [one.messageId, state]);
    assert.deepEqual([filter, found], [filter, wanted]);
  }
  const { logs: queued } = await client.logs({ filter: { queueName } });
  assert.deepEqual([...new Set(queued.map((row) => row.messageId))], [two.messageId]);
  const { logs: both } = await client.logs({ messageIds: [one.messageId, two.messageId] });
  assert.equal(both.length, 6);
  assert.deepEqual((await client.logs({ filter: { label, fromDate: Date.now() + 60_000 } })).logs, []);
  assert.deepEqual((await client.logs({ filter: { label, state: "IN_PROGRESS" } })).logs.map((row) => row.state), ["ACTIVE"]);
});

scenario("a cursor leads from the newest row to the oldest, and is absent at the end", async () => {
  const { messageId } = await client.publish({ url: GONE, retries: 0 });
  await rows(messageId, "FAILED");
  const pages = [];
  let cursor;
  do {
    const page = await client.logs({ count: 3, cursor, filter: { messageId } });
    pages.push(page.logs.map((row) => row.state));
    cursor = page.cursor;
  } while (cursor);
  assert.deepEqual(pages, [["FAILED", "ERROR", "ACTIVE"], ["CREATED"]]);
  assert.deepEqual((await client.events({ filter: { messageId } })).events.length, 4);
  assert.equal((await client.logs()).logs[0].time >= (await client.logs()).logs.at(-1).time, true);
});

scenario("a cursor may be a time in milliseconds, as the client's documentation has it", async () => {
  const { messageId } = await client.publish({ url: GONE, retries: 0 });
  await rows(messageId, "FAILED");
  const { logs } = await client.logs({ cursor: Date.now() + 1_000, filter: { messageId } });
  assert.deepEqual(logs.map((row) => row.state), ["FAILED", "ERROR", "ACTIVE", "CREATED"]);
  assert.deepEqual((await client.logs({ cursor: 1, filter: { messageId } })).logs, []);
});

// Flow control

scenario("a flow-control key is there at once, with every field", async () => {
  const key = fresh("key");
  await waiting({ flowControl: { key, parallelism: 3, ratePerSecond: 4, period: "1m" } });
  const { ratePeriodStart, ...found } = await client.flowControl.get(key);
  assert.deepEqual(found, {
    flowControlKey: key,
    waitListSize: 0,
    parallelismMax: 3,
    parallelismCount: 0,
    rateMax: 4,
    rateCount: 0,
    ratePeriod: 60,
    isPaused: false,
    isPinnedParallelism: false,
    isPinnedRate: false,
  });
  assert.ok(Number.isInteger(ratePeriodStart) && ratePeriodStart < 1e10);
});

scenario("pinned limits stand until they are unpinned", async () => {
  const key = fresh("key");
  await waiting({ flowControl: { key, parallelism: 1, rate: 1 } });
  await client.flowControl.pin(key, { parallelism: 3, rate: 20, period: 120 });
  await waiting({ flowControl: { key, parallelism: 7, rate: 7 } });
  const limits = ({ parallelismMax, rateMax, ratePeriod, isPinnedParallelism, isPinnedRate }) =>
    [parallelismMax, rateMax, ratePeriod, isPinnedParallelism, isPinnedRate];
  assert.deepEqual(limits(await client.flowControl.get(key)), [3, 20, 120, true, true]);
  await client.flowControl.unpin(key, { parallelism: true, rate: false });
  assert.deepEqual(limits(await client.flowControl.get(key)).slice(3), [false, true]);
  await waiting({ flowControl: { key, parallelism: 8, rate: 8 } });
  assert.deepEqual(limits(await client.flowControl.get(key)), [8, 20, 120, false, true]);
});

scenario("a paused key lets its messages wait until it is resumed", async () => {
  const flowControl = { key: fresh("key"), parallelism: 1, rate: 9, period: "1h" };
  await waiting({ flowControl });
  await client.flowControl.pause(flowControl.key);
  const { messageId } = await client.publish({ url: SINK, flowControl });
  await eventually(async () => (await client.flowControl.get(flowControl.key)).waitListSize === 1);
  const paused = await client.flowControl.get(flowControl.key);
  assert.deepEqual([paused.isPaused, paused.waitListSize, await states(messageId)], [true, 1, ["CREATED"]]);
  await client.flowControl.resume(flowControl.key);
  assert.equal((await rows(messageId, "DELIVERED")).length, 1);
  assert.equal((await client.flowControl.get(flowControl.key)).rateCount, 1);
  await client.flowControl.pause(flowControl.key);
  await client.flowControl.resetRate(flowControl.key);
  assert.equal((await client.flowControl.get(flowControl.key)).rateCount, 0);
});

scenario("the account's parallelism counts what is in flight", async () => {
  const { messageId } = await client.publish({ url: "https://mock.httpstatus.io/200?sleep=300" });
  await rows(messageId, "ACTIVE");
  const { parallelismMax, parallelismCount } = await client.flowControl.getGlobalParallelism();
  assert.ok(parallelismCount >= 1 && parallelismCount < parallelismMax, `${parallelismCount} of ${parallelismMax}`);
  assert.equal((await rows(messageId, "DELIVERED")).length, 1);
});

// Refusals

scenario("a stranger is turned away", async () => {
  const stranger = new sdk.Client({ baseUrl, token: "wrong" });
  for (const call of [stranger.logs(), stranger.publish({ url: SINK }), stranger.queue({ queueName: "q" }).delete()]) {
    await assert.rejects(call, refused(401, /unable to authenticate: invalid token/));
  }
});

scenario("a publish that can't be kept is refused with its reason", async () => {
  const refusals = [
    [{ deduplicationId: "a:b" }, 400, /DeduplicationId cannot contain ':'/],
    [{ url: "ftp://sink.requestcatcher.com" }, 400, /endpoint has invalid scheme/],
    [{ callback: "ftp://sink.requestcatcher.com" }, 400, /invalid scheme/],
    [{ delay: "soon" }, 400, /Upstash-Delay/],
    [{ retries: 1_000 }, 412, /quota maxRetries exceeded/],
    [{ delay: "3650d" }, 412, /quota maxDelay exceeded/],
    [{ body: "x".repeat(11 * 1024 * 1024) }, 412, /quota maxMessageSize exceeded/],
  ];
  for (const [options, status, text] of refusals) {
    await assert.rejects(client.publish({ url: SINK, ...options }), refused(status, text));
  }
});

scenario("a token to read with only reads", async () => {
  const reader = new sdk.Client({ baseUrl, token: paid.read_only_token });
  const messageId = await waiting();
  await assert.rejects(reader.publish({ url: SINK }), refused(403));
  await assert.rejects(reader.messages.cancel(messageId), refused(403));
  assert.deepEqual(await reader.messages.get(messageId), await client.messages.get(messageId));
});

scenario("the messages of a day come to an end, and a burst is slowed down", async () => {
  const limited = new sdk.Client({ baseUrl: free.url, token: free.token });
  const calls = Array.from({ length: 150 }, () => limited.queue().list());
  const [burst] = (await Promise.allSettled(calls)).filter((it) => it.status === "rejected").map((it) => it.reason);
  assert.ok(burst instanceof sdk.QstashRatelimitError);
  assert.deepEqual([burst.limit, burst.remaining], ["100", "0"]);
  assert.ok(Math.abs(Number(burst.reset) - Date.now() / 1000) <= 2);
  await limited.batch(Array.from({ length: 1_000 }, () => ({ url: SINK, delay: "1h" })));
  const daily = await limited.publish({ url: SINK }).catch((error) => error);
  assert.ok(daily instanceof sdk.QstashDailyRatelimitError);
  assert.deepEqual([daily.limit, daily.remaining], ["1000", "0"]);
  assert.ok(Number(daily.reset) * 1000 > Date.now());
});

scenario("every call of the client was made", () => {
  const calls = [];
  const bare = new sdk.Client({ baseUrl, token });
  const add = (object) => {
    for (const [name, { value }] of publicNames(Object.getPrototypeOf(object))) {
      if (typeof value === "function") calls.push(`${object.constructor.name}.${name}`);
    }
  };
  add(bare);
  const resources = publicNames(Object.getPrototypeOf(bare)).filter(([, { get }]) => get).map(([name]) => bare[name]);
  const judged = [...new Set([...resources, bare.queue()])].filter((it) => !NOT_JUDGED.includes(it.constructor.name));
  for (const resource of judged) add(resource);
  const missing = [...new Set(calls)].filter((it) => !called.has(it) && it !== "Client.chat");
  assert.deepEqual(missing, []);
  assert.ok(new Set(calls).size > 40, `${new Set(calls).size} calls`);
});

console.error = () => {}; // the SDK tells of every refusal, wanted or not
for (const { name, body } of scenarios) {
  const error = await Promise.resolve().then(body).then(() => null, (thrown) => thrown.stack ?? String(thrown));
  process.stdout.write(`${JSON.stringify({ name, error })}\n`);
}
process.exit(); // and leave the connections that are kept alive
