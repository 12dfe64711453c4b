import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';

/**
 * Which addresses a message may go to. An app names the address, and the server connects to it from inside the
 * operator's network: so only public addresses are taken (IANA special-purpose registries, RFC 6890), and others where
 * the operator allows them. It is the connected address that is looked at, never a name that may mean another one a
 * moment later.
 */
const PRIVATE_IPV4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
];
/** Of IPv6 only global unicast is public, and not the parts of it that are documentation or hold an IPv4 address. */
const PUBLIC_IPV6 = ['2000::/3'];
const PRIVATE_IPV6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

const privateIpv4 = parseNetworks(PRIVATE_IPV4);
const publicIpv6 = parseNetworks(PUBLIC_IPV6);
const privateIpv6 = parseNetworks(PRIVATE_IPV6);

/** Addresses or networks in CIDR form as one list. @throws Error for what is neither */
export function parseNetworks(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const family = familyOf(address);
    if (family === undefined) throw new Error(`${network} is neither an IP address nor a network`);
    if (prefix === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(prefix), family);
  }
  return list;
}

/** Whether a message may go there. `allowed`: what the operator allows beyond public addresses. */
export function isAllowedAddress(address: string, allowed: BlockList): boolean {
  const plain = unmapped(address);
  const family = familyOf(plain);
  if (family === undefined) return false;
  if (allowed.check(plain, family)) return true;
  if (family === 'ipv4') return !privateIpv4.check(plain, family);
  return publicIpv6.check(plain, family) && !privateIpv6.check(plain, family);
}

/** Thrown where a name or an address leads to where no message goes; the sentence is for the app's log. */
export class ForbiddenAddress extends Error {}

/**
 * The addresses of a host that messages may go to.
 * @throws ForbiddenAddress when it has none; an error of the resolver
 */
export async function allowedAddresses(host: string, allowed: BlockList): Promise<LookupAddress[]> {
  const literal = host.replace(/^\[|\]$/g, '');
  const family = isIP(literal);
  const addresses = family === 0 ? await lookup(literal, { all: true }) : [{ address: literal, family }];
  const found = addresses.filter(({ address }) => isAllowedAddress(address, allowed));
  if (found.length === 0)
    throw new ForbiddenAddress('the address is not a public one, and the operator does not allow it');
  return found;
}

/** An IPv4 address that is written as an IPv6 one (RFC 4291 section 2.5.5.2) is the IPv4 address. */
function unmapped(address: string): string {
  const [, tail] = /^::ffff:(.+)$/i.exec(address) ?? [];
  if (tail === undefined) return address;
  if (isIP(tail) === 4) return tail;
  const [, high, low] = /^([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(tail) ?? [];
  if (high === undefined || low === undefined) return address;
  const number = Number.parseInt(high, 16) * 0x1_0000 + Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 0xff).join('.');
}

function familyOf(address: string): 'ipv4' | 'ipv6' | undefined {
  const version = isIP(address);
  return version === 4 ? 'ipv4' : version === 6 ? 'ipv6' : undefined;
}
