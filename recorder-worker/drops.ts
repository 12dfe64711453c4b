import { readFile } from 'node:fs/promises';

/**
 * How many packets the kernel dropped on the UDP socket bound to this port because its buffer was full: the last
 * column of /proc/net/udp (and udp6). 0 where there is no such file.
 */
export async function kernelDrops(port: number): Promise<number> {
  const tables = await Promise.all(
    ['/proc/net/udp', '/proc/net/udp6'].map((path) => readFile(path, 'latin1').catch(() => '')),
  );
  return tables.reduce((sum, table) => sum + dropsIn(table, port), 0);
}

/** Lines: `sl local_address rem_address ... drops`, addresses as HEX:PORT with the port in hexadecimal. */
export function dropsIn(table: string, port: number): number {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  let drops = 0;
  for (const line of table.split('\n').slice(1)) {
    const columns = line.trim().split(/\s+/);
    if (columns[1]?.endsWith(suffix)) drops += Number(columns.at(-1)) || 0;
  }
  return drops;
}
