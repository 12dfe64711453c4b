import t from 'tap';
import { testDiskRows, testFullDisk } from '../test/fault-disk.ts';
import { BAD_STARTS, CAPTURE_ROWS, LEDGER_ROWS } from '../test/fault-disk-table.ts';
import { faultHouse } from '../test/fault-stage.ts';
import { migrateQueue } from './backend.ts';

// Disk trouble in whole processes, side by side: of the recorder and the finaliser, of the ledger, and on a small disk.
const house = await faultHouse(t, (databaseUrl) => migrateQueue({ databaseUrl }), 3);
// The runner keeps what it knows of a test in its options: each has its own.
t.test('the recorder and the finaliser', { buffered: true }, (t) => testDiskRows(t, house, CAPTURE_ROWS));
t.test('the ledger', { buffered: true }, (t) => testDiskRows(t, house, LEDGER_ROWS, BAD_STARTS));
t.test('a disk that is really full', { buffered: true }, (t) => testFullDisk(t, house));
