// Imported first by a journey that Firefox takes part in: from here on the whole test file runs in a network of its own.
import { spawnSync } from 'node:child_process';
import { findProgram } from '../../scripts/lib/tools.ts';

/** In the environment of the process that runs inside: the address that media is announced at. */
const INSIDE = 'OWN_NETWORK_ADDRESS';
const ADDRESS = '10.99.0.1';
/** A second address of the same machine, for a relay that stands in front of the first. */
export const RELAY_ADDRESS = '10.99.0.2';
/** Nobody else is in this network, so a port can be named before it is asked for. */
export const MEDIA_PORT = 44_400;

/**
 * Firefox does no ICE on loopback, so there has to be a network interface with an address. It needs a default route
 * to choose that address as its own; nothing ever goes there.
 */
const SET_UP = `
set -e
ip link set lo up
ip link add call0 type veth peer name call1
ip address add ${ADDRESS}/24 dev call0
ip address add ${RELAY_ADDRESS}/24 dev call0
ip link set call0 up
ip link set call1 up
ip route add default dev call0
exec "$@"
`;

if (process.env[INSIDE] === undefined && whyNot() === undefined) process.exit(runInside());

/** Settings of a server whose media Firefox can reach. */
export const MEDIA_SETTINGS: Readonly<Record<string, string>> = {
  VERBATIM_MEDIA_LISTEN_IP: ADDRESS,
  VERBATIM_MEDIA_BASE_PORT: String(MEDIA_PORT),
};

/** Why journeys with Firefox cannot be made on this machine; undefined when they can. */
export function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'a network namespace of its own needs root';
  const missing = ['ip', 'unshare', 'setpriv'].filter((program) => findProgram(program) === undefined);
  if (missing.length > 0) return `this machine has no ${missing.join(', ')}`;
  // Some containers forbid namespaces, or know no veth pairs.
  const tried = spawnSync('unshare', ['--net', 'bash', '-c', SET_UP, 'network', 'true'], {
    encoding: 'utf8',
  });
  if (tried.status !== 0) return `this machine makes no network namespace: ${tried.stderr.trim()}`;
  return undefined;
}

/**
 * Runs this very file once more, in a namespace without a name: it is gone with its last process, whatever happens.
 * Signalling stays on the namespace's own loopback, which browsers take for a safe place as they do outside.
 */
function runInside(): number {
  const script = process.argv[1] ?? '';
  const command = [process.execPath, ...process.execArgv, script, ...process.argv.slice(2)];
  const { status } = spawnSync(
    'setpriv',
    // A runner that kills the outer process means the inner one.
    ['--pdeathsig', 'KILL', 'unshare', '--net', 'bash', '-c', SET_UP, 'network', ...command],
    { stdio: 'inherit', env: { ...process.env, [INSIDE]: ADDRESS } },
  );
  return status ?? 1;
}
