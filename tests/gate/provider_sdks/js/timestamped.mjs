// HMACs over a time and the body, the time in the signature's header or in one of its own.
import { ElevenLabsClient } from "@elevenlabs/elevenlabs-js";
import { Mux } from "@mux/mux-node";
import { Paddle } from "@paddle/paddle-node-sdk";
import { isValidSignature } from "@sanity/webhook";
import slack from "@slack/bolt";
import { EventSubMiddleware } from "@twurple/eventsub-http";
import { WorkOS } from "@workos-inc/node";
import { AwsLambdaReceiver } from "@zoom/rivet/chatbot";
import { WebhooksManager } from "box-node-sdk/managers/webhooks";
import Orb from "orb-billing";
import Stripe from "stripe";
import { WebflowClient } from "webflow-api";
import { signed } from "./request.mjs";

const elevenlabs = new ElevenLabsClient({ apiKey: "unused" });
const mux = new Mux({ tokenId: "unused", tokenSecret: "unused" });
const orb = new Orb({ apiKey: "unused" });
const paddle = new Paddle("unused");
const stripe = new Stripe("unused");
const webflow = new WebflowClient({ accessToken: "unused" });
const workos = new WorkOS("unused");

export const judges = [
  {
    sdk: "stripe",
    schemes: ["stripe"],
    judge: ({ secret, bytes, headers }) =>
      signed(() => stripe.webhooks.constructEvent(bytes, headers["stripe-signature"], secret)),
  },
  {
    sdk: "@slack/bolt",
    schemes: ["slack"],
    // The time as a number: so do the receivers of this SDK.
    judge: ({ secret, text, headers }) =>
      signed(() =>
        slack.verifySlackRequest({
          signingSecret: secret,
          body: text,
          headers: {
            "x-slack-signature": headers["x-slack-signature"],
            "x-slack-request-timestamp": Number(headers["x-slack-request-timestamp"]),
          },
        }),
      ),
  },
  {
    sdk: "@mux/mux-node",
    schemes: ["mux"],
    judge: ({ secret, text, headers }) => signed(() => mux.webhooks.verifySignature(text, headers, secret)),
  },
  {
    sdk: "@paddle/paddle-node-sdk",
    schemes: ["paddle"],
    judge: ({ secret, text, headers }) =>
      paddle.webhooks.isSignatureValid(text, secret, headers["paddle-signature"]),
  },
  {
    sdk: "@workos-inc/node",
    schemes: ["workos"],
    // It wants the body parsed, and writes it anew.
    judge: ({ secret, text, headers }) =>
      workos.webhooks.verifyHeader({ payload: JSON.parse(text), sigHeader: headers["workos-signature"], secret }),
  },
  {
    sdk: "@sanity/webhook",
    schemes: ["sanity"],
    judge: ({ secret, text, headers }) => isValidSignature(text, headers["sanity-webhook-signature"], secret),
  },
  {
    sdk: "@elevenlabs/elevenlabs-js",
    schemes: ["elevenlabs"],
    judge: ({ secret, text, headers }) =>
      signed(() => elevenlabs.webhooks.constructEvent(text, headers["elevenlabs-signature"], secret)),
  },
  {
    sdk: "webflow-api",
    schemes: ["webflow"],
    judge: ({ secret, text, headers }) => webflow.webhooks.verifySignature({ headers, body: text, secret }),
  },
  {
    sdk: "orb-billing",
    schemes: ["orb"],
    judge: ({ secret, text, headers }) => signed(() => orb.webhooks.verifySignature(text, headers, secret)),
  },
  {
    sdk: "@zoom/rivet",
    schemes: ["zoom"],
    // It answers like a Lambda function; the body as text, since it decodes base64 as ASCII; it writes the body anew.
    judge: async ({ secret, text, headers }) => {
      const handle = new AwsLambdaReceiver({ webhooksSecretToken: secret }).start();
      return (await handle({ body: text, headers, isBase64Encoded: false }, {})).statusCode === 200;
    },
  },
  {
    sdk: "@twurple/eventsub-http",
    schemes: ["twitch-eventsub"],
    // Not the provider's own; it verifies in a method that only its own request handler calls.
    judge: ({ secret, text, headers }) =>
      Object.create(EventSubMiddleware.prototype, { _secret: { value: secret } })._verifyData(
        headers["twitch-eventsub-message-id"],
        headers["twitch-eventsub-message-timestamp"],
        text,
        headers["twitch-eventsub-message-signature"],
      ),
  },
  {
    sdk: "box-node-sdk",
    schemes: ["box"],
    judge: ({ secret, text, headers }) =>
      WebhooksManager.validateMessage(text, headers, secret.primary, { secondaryKey: secret.secondary }),
  },
];
