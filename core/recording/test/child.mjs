// A worker process for the tests of children.ts: says who it is, and dies or stays as it is told by its environment.
process.send({ type: 'started', recorderId: `child-${process.pid}` });
if (process.env.CHILD === 'dies') process.exit(3);
if (process.env.CHILD === 'deaf') process.on('SIGTERM', () => undefined);
process.on('disconnect', () => process.exit(0));
setInterval(() => undefined, 1000);
