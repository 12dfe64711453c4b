import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault,
} from 'fastify';
import type { DemoToken, Directory, Health, WebhookEndpoints } from '#protocol';
import type { Admins } from '../admins/index.ts';
import type { Apps, Authenticator, Origins } from '../auth/index.ts';
import type { Evidence } from '../evidence/index.ts';
import type { History, Library, Listeners, Timelines } from '../library/index.ts';

/** The Fastify instance, with TypeBox schemas as the types of requests. */
export type HttpApp = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression<RawServerDefault>,
  RawReplyDefaultExpression<RawServerDefault>,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>;

export interface HttpSettings {
  /** `limits.requestsPerMinute`: for each user, or each address where nobody is signed in. */
  requestsPerMinute: number;
  /** Addresses or networks of proxies whose `X-Forwarded-*` headers are believed; none by default. */
  trustProxy: readonly string[];
  /** `publicUrl`: the origin under which people reach this server, where it is known. */
  publicUrl?: string;
  /** PEM, when this server ends TLS itself. */
  tls?: { cert: string; key: string };
}

export interface HttpMetrics {
  /** In the Prometheus text format. */
  text(): Promise<string>;
  answered(request: { method: string; route: string | undefined; status: number; tookMs: number }): void;
  /** Whoever shows it may read; without one only programs of this machine may. */
  token?: string;
}

/** Everything the HTTP server needs; `app.ts` gives it. */
export interface HttpDeps {
  log: FastifyBaseLogger;
  version: string;
  settings: HttpSettings;
  auth: Authenticator;
  origins: Pick<Origins, 'ofApp' | 'isKnown'>;
  /** Accounts of the console. */
  admins: Admins;
  /** `directoryOf(db)` of core/db. */
  directory: Directory;
  apps: Pick<Apps, 'find' | 'change' | 'keys' | 'addKey' | 'revokeKey'>;
  webhooks: WebhookEndpoints;
  library: Library;
  history: History;
  timelines: Timelines;
  listeners: Listeners;
  evidence: Pick<Evidence, 'reading' | 'mismatches'>;
  health: () => Promise<Health>;
  /** Figures for a monitor; without them there is no `/metrics`. */
  metrics?: HttpMetrics;
  /** Registers the WebSocket route; called before any other route is there. */
  signaling?: (app: FastifyInstance) => Promise<void>;
  /** The folder that `client/` is built into: `sdk/` and `demo/` are served from it. */
  clientDir?: string;
  /** Only when `demo.enabled` and the listener is on a loopback address: tokens without a password. */
  demo?: { token: (as: 'alice' | 'bob') => Promise<DemoToken> };
}
