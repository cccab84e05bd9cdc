// HMACs over nothing but the body.
import adyen from "@adyen/api-library";
import EasyPost from "@easypost/api";
import { validateSignature } from "@line/bot-sdk";
import { LinearWebhookClient } from "@linear/sdk/webhooks";
import { verifyWebhookSignature } from "@notionhq/client";
import { WebhookEventVerifier } from "@onfido/api";
import { verify } from "@octokit/webhooks-methods";
import { ApiVersion, shopifyApi } from "@shopify/shopify-api";
import "@shopify/shopify-api/adapters/web-api";
import * as gocardless from "gocardless-nodejs/webhooks";
import ModernTreasury from "modern-treasury";
import Pusher from "pusher";
import Razorpay from "razorpay";
import streamChat from "stream-chat";
import { GoodButUnread, signed } from "./request.mjs";

const adyenHmac = new adyen.hmacValidator();
const modernTreasury = new ModernTreasury({ apiKey: "unused", organizationID: "unused" });
const easypost = new EasyPost("unused");

export const judges = [
  {
    sdk: "@octokit/webhooks-methods",
    schemes: ["github"],
    judge: ({ secret, text, headers }) => verify(secret, text, headers["x-hub-signature-256"]),
  },
  {
    sdk: "@shopify/shopify-api",
    schemes: ["shopify", "shopify-events"],
    // The signature comes first; then it also wants headers of which the signature knows nothing.
    judge: async ({ secret, text, fetched }) => {
      const shopify = shopifyApi({
        apiKey: "unused",
        apiSecretKey: secret,
        apiVersion: ApiVersion.Unstable,
        hostName: "relay.example.com",
        isEmbeddedApp: false,
        logger: { log: () => {} },
      });
      const { valid, reason } = await shopify.webhooks.validate({ rawBody: text, rawRequest: fetched });
      return reason === "missing_headers" ? new GoodButUnread(reason) : valid;
    },
  },
  {
    sdk: "razorpay",
    schemes: ["razorpay"],
    judge: ({ secret, text, headers }) =>
      Razorpay.validateWebhookSignature(text, headers["x-razorpay-signature"], secret),
  },
  {
    sdk: "gocardless-nodejs",
    schemes: ["gocardless"],
    judge: ({ secret, bytes, headers }) =>
      signed(() => gocardless.parse(bytes, secret, headers["webhook-signature"])),
  },
  {
    sdk: "@line/bot-sdk",
    schemes: ["line"],
    judge: ({ secret, bytes, headers }) => validateSignature(bytes, secret, headers["x-line-signature"]),
  },
  {
    sdk: "@onfido/api",
    schemes: ["onfido"],
    judge: ({ secret, bytes, headers }) =>
      signed(() => new WebhookEventVerifier(secret).readPayload(bytes, headers["x-sha2-signature"])),
  },
  {
    sdk: "modern-treasury",
    schemes: ["modern-treasury"],
    judge: ({ secret, text, headers }) => modernTreasury.webhooks.validateSignature(text, headers, { key: secret }),
  },
  {
    sdk: "@notionhq/client",
    schemes: ["notion"],
    judge: ({ secret, bytes, headers }) =>
      verifyWebhookSignature({ body: bytes, signature: headers["x-notion-signature"], verificationToken: secret }),
  },
  {
    sdk: "@linear/sdk",
    schemes: ["linear"],
    judge: ({ secret, bytes, headers }) =>
      new LinearWebhookClient(secret).verify(bytes, headers["linear-signature"], headers["linear-timestamp"]),
  },
  {
    sdk: "stream-chat",
    schemes: ["stream"],
    judge: ({ secret, bytes, headers }) =>
      signed(
        () => streamChat.verifyAndParseWebhook(bytes, headers["x-signature"], secret),
        (error) => error.message === "invalid JSON payload",
      ),
  },
  {
    sdk: "@easypost/api",
    schemes: ["easypost"],
    judge: ({ secret, bytes, headers }) => signed(() => easypost.Utils.validateWebhook(bytes, headers, secret)),
  },
  {
    sdk: "pusher",
    schemes: ["pusher"],
    judge: ({ secret, text, headers }) =>
      new Pusher({ appId: "unused", cluster: "unused", key: secret.key, secret: secret.secret })
        .webhook({ headers, rawBody: text })
        .isValid(),
  },
  {
    sdk: "@adyen/api-library",
    schemes: ["adyen-balance-platform"],
    judge: ({ secret, text, headers }) => adyenHmac.validateHMACSignature(secret, headers.hmacsignature, text),
  },
];
