// For tests: starts the embedded PostgreSQL of a folder in a process of its own, which can then be killed.
// Says one line of JSON about each step; a line on standard input makes it stop in order.
import { connect } from './database.ts';
import { startEmbeddedPostgres } from './embedded.ts';
import { silentLog as log } from './fixture.ts';

const [dataDir = '', password = ''] = process.argv.slice(2);
const say = (line: object): void => {
  process.stdout.write(`${JSON.stringify(line)}\n`);
};

try {
  const server = await startEmbeddedPostgres({
    dataDir,
    password,
    log,
    purpose: 'the test',
    onLost: (lost) => say({ lost }),
  });
  const sql = connect(server.url, { log, poolSize: 1 });
  await sql`create table if not exists kept (n integer)`;
  await sql`insert into kept values (1)`;
  const [row] = await sql<{ count: number }[]>`select count(*) from kept`;
  say({ url: server.url, rows: row?.count, uid: process.getuid?.() });
  process.stdin.once('data', async () => {
    await sql.end();
    await server.stop();
    process.exit();
  });
} catch (error) {
  say({ error: error instanceof Error ? error.message : String(error) });
  process.exit(1);
}
