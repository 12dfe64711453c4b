import { isIP } from 'node:net';
import Type from 'typebox';

/**
 * Every setting of Verbatim: two levels at most, one leaf per setting.
 * `expected` completes the sentence "expected …, got …"; `secret` keeps a value out of every message;
 * `path` marks a file or folder that is resolved against the place where it was written.
 */
interface LeafOptions {
  expected: string;
  secret?: true;
  path?: true;
}

const closed = { additionalProperties: false };

const port = (what: string, fallback: number) =>
  Type.Refine(
    Type.Integer({
      default: fallback,
      expected: `${what}: a port from 1 to 65535, or 0 for any free one`,
    }),
    (value) => value === 0 || (value >= 1 && value <= 65_535),
  );
const milliseconds = (fallback: number, minimum: number, maximum: number) =>
  Type.Integer({
    default: fallback,
    minimum,
    maximum,
    expected: `a whole number of milliseconds from ${minimum} to ${maximum}`,
  });
const count = (fallback: number, minimum: number, maximum: number) =>
  Type.Integer({
    default: fallback,
    minimum,
    maximum,
    expected: `a whole number from ${minimum} to ${maximum}`,
  });
const ip = (options: { default?: string } = {}) =>
  Type.Refine(Type.String({ ...options, expected: 'an IPv4 or IPv6 address' }), (value) => isIP(value) !== 0);
const file = (what: string) => Type.String({ minLength: 1, path: true, expected: `the path of ${what}` });
const serviceUrl = (expected: string, protocols: readonly string[]) =>
  Type.Refine(Type.String({ secret: true, expected }), (value) =>
    protocols.includes(URL.parse(value)?.protocol ?? ''),
  );

/** STUN and TURN servers (RFC 7064, RFC 7065). Browsers warn of more than a few, and each costs time at every call. */
const iceUrls = (pattern: RegExp, expected: string) =>
  Type.Refine(
    Type.Array(Type.String(), { default: [], maxItems: 4, expected }),
    (list) =>
      new Set(list).size === list.length &&
      list.every((url) => pattern.test(url) && Number(/:(\d+)(\?|$)/.exec(url)?.[1] ?? 1) <= 65_535),
  );

/** Short enough to be guessed is no secret; a space is a slip of whoever pasted it. */
export function isIceSecret(text: string): boolean {
  return /^\S{16,256}$/.test(text);
}

/** What a monitor shows as its bearer token (RFC 6750): what fits into a header, and is not guessed. */
export function isMetricsToken(text: string): boolean {
  return /^[A-Za-z0-9._~+/=-]{16,256}$/.test(text);
}

/** `192.0.2.1` or `10.0.0.0/8`. A prefix of no bits would believe everybody. */
function isAddressOrNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return (
    prefix === undefined || (/^[1-9]\d{0,2}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128))
  );
}

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

export const ConfigSchema = Type.Object(
  {
    dataDir: Type.String({ default: './data', minLength: 1, path: true, expected: 'the path of a folder' }),
    publicUrl: Type.Optional(
      Type.Refine(
        Type.String({
          expected: 'an origin such as https://calls.example.org, without path or trailing slash',
        }),
        (value) => {
          const url = URL.parse(value);
          return url !== null && /^https?:$/.test(url.protocol) && url.origin === value;
        },
      ),
    ),
    trustProxy: Type.Refine(
      Type.Array(Type.String(), {
        default: [],
        expected: 'a list of IP addresses or networks such as 10.0.0.0/8',
      }),
      (list) => list.every(isAddressOrNetwork),
    ),
    listen: Type.Object(
      {
        host: Type.String({ default: '127.0.0.1', minLength: 1, expected: 'an address or a host name' }),
        port: port('the HTTP port', 4443),
      },
      closed,
    ),
    tls: Type.Object(
      {
        certFile: Type.Optional(file('a PEM file with the certificate chain')),
        keyFile: Type.Optional(file('a PEM file with the private key')),
      },
      closed,
    ),
    database: Type.Object(
      {
        url: Type.Optional(
          serviceUrl('a URL such as postgres://user:password@host:5432/name', ['postgres:', 'postgresql:']),
        ),
        poolSize: count(10, 1, 500),
      },
      closed,
    ),
    redis: Type.Object(
      {
        url: Type.Optional(serviceUrl('a URL such as redis://host:6379/0', ['redis:', 'rediss:'])),
      },
      closed,
    ),
    media: Type.Object(
      {
        workers: Type.Optional(
          Type.Integer({ minimum: 1, maximum: 256, expected: 'a whole number from 1 to 256' }),
        ),
        listenIp: ip({ default: '127.0.0.1' }),
        announcedAddress: Type.Optional(Type.String({ minLength: 1, expected: 'an address or a host name' })),
        basePort: port('the first media port', 44_400),
        maxCpu: Type.Number({
          default: 0.85,
          minimum: 0.05,
          maximum: 1,
          expected: 'a share of one core from 0.05 to 1',
        }),
      },
      closed,
    ),
    ice: Type.Object(
      {
        stunUrls: iceUrls(
          /^stuns?:([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?$/,
          'a list of up to 4 URLs such as stun:turn.example.org:3478',
        ),
        turnUrls: iceUrls(
          /^turns?:([A-Za-z0-9.-]+|\[[0-9a-fA-F:.]+\])(:\d{1,5})?(\?transport=(udp|tcp))?$/,
          'a list of up to 4 URLs such as turn:turn.example.org:3478 or turns:turn.example.org:5349?transport=tcp',
        ),
        secretFile: Type.Optional(file('a file with the secret that the relays know')),
        secret: Type.Optional(
          Type.Refine(
            Type.String({
              secret: true,
              expected: 'the secret that the relays know: 16 to 256 characters without spaces',
            }),
            isIceSecret,
          ),
        ),
        credentialSeconds: count(3_600, 60, 86_400),
        relayOnly: Type.Boolean({ default: false, expected: 'true or false' }),
      },
      closed,
    ),
    webhooks: Type.Object(
      {
        allowedNetworks: Type.Refine(
          Type.Array(Type.String(), {
            default: [],
            expected: 'a list of IP addresses or networks such as 10.0.0.0/8',
          }),
          (list) => list.every(isAddressOrNetwork),
        ),
      },
      closed,
    ),
    recorder: Type.Object(
      {
        embedded: Type.Boolean({ default: true, expected: 'true or false' }),
        standby: Type.Boolean({ default: true, expected: 'true or false' }),
        ip: ip({ default: '127.0.0.1' }),
        announcedIp: Type.Optional(ip()),
        port: port('the recorder’s UDP port', 0),
        maxCaptures: count(1_000, 1, 10_000),
        finaliseLockSeconds: count(20, 5, 600),
      },
      closed,
    ),
    recording: Type.Object(
      {
        recoveryRecipient: Type.Optional(
          Type.String({
            pattern: '^age1[02-9ac-hj-np-z]{58}$',
            expected: 'an age recipient, "age1" and 58 characters',
          }),
        ),
        minFreeMegabytes: count(512, 0, 10_000_000),
        reserveMegabytes: count(100, 0, 100_000),
      },
      closed,
    ),
    ledger: Type.Object(
      {
        origin: Type.Optional(
          Type.String({
            pattern: '^[a-z0-9][a-z0-9.:/_-]{2,127}$',
            expected: 'a name such as calls.example.org/ledger: lower case, without scheme and spaces',
          }),
        ),
        signerDir: Type.Optional(file('a folder outside the data folder')),
      },
      closed,
    ),
    removal: Type.Object({ enabled: Type.Boolean({ default: true, expected: 'true or false' }) }, closed),
    metrics: Type.Object(
      {
        enabled: Type.Boolean({ default: true, expected: 'true or false' }),
        tokenFile: Type.Optional(file('a file with the token that a monitor shows')),
      },
      closed,
    ),
    scrub: Type.Object(
      {
        megabytesPerSecond: Type.Number({
          default: 4,
          minimum: 0,
          maximum: 10_000,
          expected: 'a rate in MB/s, 0 turns the background check off',
        }),
        everyHours: count(24, 1, 10_000),
      },
      closed,
    ),
    call: Type.Object(
      {
        ringTimeoutMs: Type.Optional(
          Type.Integer({
            minimum: 100,
            maximum: 180_000,
            expected: 'a whole number of milliseconds from 100 to 180000',
          }),
        ),
        graceMs: milliseconds(15_000, 0, 300_000),
        connectTimeoutMs: milliseconds(20_000, 1_000, 120_000),
      },
      closed,
    ),
    demo: Type.Object({ enabled: Type.Boolean({ default: false, expected: 'true or false' }) }, closed),
    limits: Type.Object(
      {
        maxCalls: count(500, 1, 100_000),
        requestsPerMinute: count(600, 1, 1_000_000),
      },
      closed,
    ),
    log: Type.Object(
      {
        level: Type.Union(
          LOG_LEVELS.map((level) => Type.Literal(level)),
          { default: 'info', expected: `one of ${LOG_LEVELS.join(', ')}` },
        ),
      },
      closed,
    ),
  },
  closed,
);

type Parsed = Type.Static<typeof ConfigSchema>;

/** The settings in force: defaults filled in, paths absolute. */
export type Config = Omit<Parsed, 'log'> & { log: { level: (typeof LOG_LEVELS)[number] } };

/** One setting: its path in the file, its environment variable and its schema. */
export interface Setting {
  path: string;
  section: string | undefined;
  key: string;
  envName: string;
  schema: Type.TSchema & LeafOptions;
  optional: boolean;
  default: unknown;
}

/** Every setting, in the order of the schema. The file, the environment and the sample are all read by this list. */
export const SETTINGS: readonly Setting[] = Object.entries(ConfigSchema.properties).flatMap(
  ([name, schema]) =>
    Type.IsObject(schema)
      ? Object.entries(schema.properties).map(([key, leaf]) => settingOf(name, key, leaf))
      : [settingOf(undefined, name, schema)],
);

/** The names of the sections of the file. */
export const SECTIONS: readonly string[] = [
  ...new Set(SETTINGS.flatMap(({ section }) => (section === undefined ? [] : [section]))),
];

function settingOf(section: string | undefined, key: string, schema: Type.TSchema): Setting {
  const path = section === undefined ? key : `${section}.${key}`;
  if (!hasExpected(schema)) throw new Error(`The setting ${path} does not say what it expects.`);
  return {
    path,
    section,
    key,
    envName: envNameOf(path),
    schema,
    optional: Type.IsOptional(schema),
    default: 'default' in schema ? schema.default : undefined,
  };
}

function hasExpected(schema: Type.TSchema): schema is Type.TSchema & LeafOptions {
  return 'expected' in schema && typeof schema.expected === 'string';
}

/** `media.announcedAddress` -> `VERBATIM_MEDIA_ANNOUNCED_ADDRESS`: dots and camel case become underscores. */
export function envNameOf(path: string): string {
  return `VERBATIM_${path
    .replaceAll('.', '_')
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .toUpperCase()}`;
}
