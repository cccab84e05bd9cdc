// Public keys, certificates and JSON Web Tokens.
import { createSecretKey } from "node:crypto";
import { createRequire } from "node:module";
import sendgrid from "@sendgrid/eventwebhook";
import { Receiver } from "@upstash/qstash";
import { verifyKey } from "discord-interactions";
import { WebhookReceiver } from "livekit-server-sdk";
import messagebird from "messagebird/lib/webhook-signature-jwt.js";
import Telnyx from "telnyx";
import { isUnparsed, signed } from "./request.mjs";

const require = createRequire(import.meta.url);
const sendgridWebhook = new sendgrid.EventWebhook();
const telnyx = new Telnyx({ apiKey: "unused" });

/** Return SNS's validator without the certificates that it keeps for the life of the process. */
function forgetfulSnsValidator() {
  const path = require.resolve("sns-validator");
  delete require.cache[path];
  return new (require(path))();
}

export const judges = [
  {
    sdk: "discord-interactions",
    schemes: ["discord"],
    judge: ({ secret, bytes, headers }) =>
      verifyKey(bytes, headers["x-signature-ed25519"], headers["x-signature-timestamp"], secret),
  },
  {
    sdk: "telnyx",
    schemes: ["telnyx"],
    judge: ({ secret, text, headers }) => signed(() => telnyx.webhooks.unwrap(text, { headers, key: secret })),
  },
  {
    sdk: "@sendgrid/eventwebhook",
    schemes: ["sendgrid"],
    judge: ({ secret, bytes, headers }) =>
      sendgridWebhook.verifySignature(
        sendgridWebhook.convertPublicKeyToECDSA(secret),
        bytes,
        headers["x-twilio-email-event-webhook-signature"],
        headers["x-twilio-email-event-webhook-timestamp"],
      ),
  },
  {
    sdk: "sns-validator",
    schemes: ["aws-sns"],
    judge: ({ text }) =>
      new Promise((resolve, reject) => {
        forgetfulSnsValidator().validate(text, (error) => (error ? reject(error) : resolve(true)));
      }),
  },
  {
    sdk: "livekit-server-sdk",
    schemes: ["livekit"],
    judge: ({ secret, text, headers }) =>
      signed(
        () => new WebhookReceiver(secret.api_key, secret.api_secret).receive(text, headers.authorization),
        (error) => isUnparsed(error) || error.message.startsWith("cannot decode message"),
      ),
  },
  {
    sdk: "messagebird",
    schemes: ["messagebird"],
    judge: ({ secret, url, bytes, headers }) =>
      messagebird.verify(url, bytes, headers["messagebird-signature-jwt"], createSecretKey(Buffer.from(secret))),
  },
  {
    sdk: "@upstash/qstash",
    schemes: ["qstash"],
    judge: ({ secret, url, text, headers }) =>
      new Receiver({ currentSigningKey: secret.current, nextSigningKey: secret.next }).verify({
        signature: headers["upstash-signature"],
        body: text,
        url,
      }),
  },
];
