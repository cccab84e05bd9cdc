// Standard Webhooks and its dialects: an id, a time and a list of labelled signatures in three headers.
import Anthropic from "@anthropic-ai/sdk";
import { verifyWebhook } from "@clerk/backend/webhooks";
import { WebhookHandler } from "@liveblocks/node";
import { validateEvent } from "@polar-sh/sdk/webhooks";
import Finch from "@tryfinch/finch-api";
import Lithic from "lithic";
import OpenAI from "openai";
import { validateWebhook } from "replicate";
import { Resend } from "resend";
import * as standard from "standardwebhooks";
import * as svix from "svix";
import { isUnparsed, signed } from "./request.mjs";

const anthropic = new Anthropic({ apiKey: "unused" });
const finch = new Finch({ accessToken: "unused" });
const lithic = new Lithic({ apiKey: "unused" });
const openai = new OpenAI({ apiKey: "unused" });
const resend = new Resend("unused");

export const judges = [
  {
    sdk: "standardwebhooks",
    schemes: ["standard-webhooks", "svix-unbranded", "gitlab-signing-token", "increase"],
    judge: ({ secret, bytes, headers }) => signed(() => new standard.Webhook(secret).verify(bytes, headers)),
  },
  {
    sdk: "svix",
    schemes: ["svix", "svix-unbranded"],
    judge: ({ secret, bytes, headers }) => signed(() => new svix.Webhook(secret).verify(bytes, headers)),
  },
  {
    sdk: "@anthropic-ai/sdk",
    schemes: ["anthropic"],
    judge: ({ secret, text, headers }) =>
      signed(() => anthropic.beta.webhooks.unwrap(text, { headers, key: secret })),
  },
  {
    sdk: "openai",
    schemes: ["openai"],
    judge: ({ secret, text, headers }) => signed(() => openai.webhooks.verifySignature(text, headers, secret)),
  },
  {
    sdk: "@tryfinch/finch-api",
    schemes: ["finch"],
    judge: ({ secret, text, headers }) => signed(() => finch.webhooks.verifySignature(text, headers, secret)),
  },
  {
    sdk: "replicate",
    schemes: ["replicate"],
    judge: ({ secret, text, headers }) => validateWebhook({ headers, body: text }, secret),
  },
  {
    sdk: "lithic",
    schemes: ["lithic"],
    judge: ({ secret, text, headers }) => signed(() => lithic.webhooks.verifySignature(text, headers, secret)),
  },
  {
    sdk: "resend",
    schemes: ["resend"],
    judge: ({ secret, text, headers }) =>
      signed(() =>
        resend.webhooks.verify({
          payload: text,
          headers: {
            id: headers["svix-id"],
            timestamp: headers["svix-timestamp"],
            signature: headers["svix-signature"],
          },
          webhookSecret: secret,
        }),
      ),
  },
  {
    sdk: "@clerk/backend",
    schemes: ["clerk"],
    // It has one class of error for all that can go wrong, and wraps what JSON.parse said.
    judge: ({ secret, fetched }) =>
      signed(
        () => verifyWebhook(fetched, { signingSecret: secret }),
        (error) => /JSON|Cannot read properties/.test(error.message),
      ),
  },
  {
    sdk: "@liveblocks/node",
    schemes: ["liveblocks"],
    judge: ({ secret, text, headers }) =>
      signed(
        () => new WebhookHandler(secret).verifyRequest({ headers, rawBody: text }),
        (error) => isUnparsed(error) || /^Unknown (event type|notification kind)/.test(error.message),
      ),
  },
  {
    sdk: "@polar-sh/sdk",
    schemes: ["polar"],
    judge: ({ secret, text, headers }) =>
      signed(
        () => validateEvent(text, headers, secret),
        (error) => isUnparsed(error) || error.name === "SDKValidationError",
      ),
  },
];
