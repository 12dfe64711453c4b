import { createSocket } from 'node:dgram';
import { readdir, readFile, readlink } from 'node:fs/promises';
import t from 'tap';
import { pathOf, watchPeers } from './peer-page.ts';
import { openStage, talk, until } from './stage.ts';

const stage = await openStage();
t.teardown(() => stage.close());

/** One UDP socket of a process, as Linux tells it: what waits in it unread, and what was dropped for want of room. */
interface MediaSocket {
  port: number;
  waitingBytes: number;
  dropped: number;
}

async function mediaWorkers(daemonPid: number): Promise<number[]> {
  const children = await readFile(`/proc/${daemonPid}/task/${daemonPid}/children`, 'utf8');
  const pids: number[] = [];
  for (const pid of children.trim().split(/\s+/).map(Number)) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if ((command.split('\0')[0] ?? '').includes('mediasoup-worker')) pids.push(pid);
  }
  return pids;
}

async function socketsOf(pid: number): Promise<MediaSocket[]> {
  const inodes = new Set<string>();
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => '');
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined) inodes.add(inode);
  }
  const lines = (await readFile(`/proc/${pid}/net/udp`, 'utf8')).trim().split('\n').slice(1);
  // sl local rem st tx:rx tr:tm retrnsmt uid timeout inode ref pointer drops
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => inodes.has(fields[9] ?? ''))
    .map((fields) => ({
      port: Number.parseInt(fields[1]?.split(':')[1] ?? '', 16),
      waitingBytes: Number.parseInt(fields[4]?.split(':')[1] ?? '', 16),
      dropped: Number(fields[12]),
    }));
}

t.test(
  'F14 with every media worker stopped the two hear each other, and no packet came to a media socket',
  async (t) => {
    const { alice, bob, server } = stage;
    for (const person of [alice, bob]) {
      await watchPeers(person);
      await person.open();
    }
    const pids = await mediaWorkers(server.process.pid ?? 0);
    t.ok(pids.length > 0, 'the server has media workers');
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    try {
      const sockets = async () => (await Promise.all(pids.map(socketsOf))).flat();
      const before = await sockets();
      t.ok(before.length > 0, `which listen on ${before.map(({ port }) => port).join(', ')}`);

      await alice.call('voice');
      await bob.accept();
      await Promise.all([alice.waitStatus('active'), bob.waitStatus('active')]);
      await Promise.all([talk(alice, 150), talk(bob, 150)]);
      for (const person of [alice, bob]) {
        const { inbound, outbound } = await person.stats();
        t.ok(
          inbound.totalAudioEnergy > 0.001,
          `F1 ${person.as} hears speech (energy ${inbound.totalAudioEnergy})`,
        );
        t.ok(outbound.packets > 100, `and sends (${outbound.packets} packets)`);
        const path = await pathOf(person);
        t.match(path, { local: /^(host|prflx)$/, remote: /^(host|prflx)$/ }, 'without anything in between');
        t.same(path.codecs, ['audio/opus'], 'Opus and nothing else');
      }
      await until(
        () => alice.stats(),
        ({ rttMs }) => rttMs !== undefined,
        'the time to the other browser and back',
      );
      await bob.hangUp();
      for (const person of [alice, bob])
        t.match(await person.waitStatus('ended'), { call: { endReason: 'hangup' } }, 'F8');
      t.same(await sockets(), before, 'nothing waits unread in a stopped worker, and nothing was dropped');

      // The measure would have seen one.
      const [first] = before;
      const sender = createSocket('udp4');
      await new Promise((resolve) => sender.send('x', first?.port ?? 0, '127.0.0.1', resolve));
      sender.close();
      await until(
        sockets,
        (now) => now.some(({ waitingBytes }) => waitingBytes > 0),
        'a packet that is sent there',
      );
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT');
    }
  },
);
