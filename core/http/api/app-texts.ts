import type { RouteTexts } from './route-text.ts';

const shop = {
  id: 'shop',
  name: 'Shop',
  recordingEnabled: true,
  ringTimeoutMs: 45_000,
  retentionDays: null,
  allowedOrigins: ['https://chat.example'],
  ice: null,
  createdAt: '2026-03-01T09:00:00.000Z',
};
const key = { kid: 'k2Xf7', algorithm: 'HS256', createdAt: '2026-03-01T09:00:00.000Z' };

/** The app itself: settings and keys. */
export const APP_TEXTS: RouteTexts = {
  'GET /v1/app': {
    description: 'The app of the key that asks. No other app can be named.',
    errors: ['not_found'],
    answer: shop,
  },
  'PATCH /v1/app': {
    description: 'Changes what is given and leaves the rest. Calls that run are not touched.',
    errors: ['not_found', 'conflict'],
    body: { recordingEnabled: true, ringTimeoutMs: 30_000 },
    answer: { ...shop, ringTimeoutMs: 30_000 },
  },
  'GET /v1/app/keys': {
    description: 'For a rotation: which keys there are, and when each was last used.',
    errors: ['not_found'],
    answer: { keys: [key] },
  },
  'POST /v1/app/keys': {
    description:
      'Two keys count at once, so that a key is replaced without a gap: make the new one, use it, revoke the old one. With `publicJwk` the private half never leaves your server.',
    errors: ['not_found', 'conflict'],
    body: {},
    answer: { key, secret: 'Zm9yIGV4YW1wbGUgb25seSwgbm90IGEga2V5' },
  },
  'DELETE /v1/app/keys/:kid': {
    description: 'Every user token that it signed stops counting with it.',
    errors: ['not_found', 'conflict'],
  },
};
