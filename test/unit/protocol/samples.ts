import type { Manifest } from '../../../protocol/manifest.js'
import type { NodeRecord } from '../../../protocol/node-record.js'
import type { Open } from '../../../protocol/stage.js'
import type { Step } from '../../../protocol/step.js'

export const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
export const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))
export const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

export const HASH = 'ab'.repeat(32)
export const SWARM = '5a'.repeat(16)
export const PEER = '12D3KooWPeer'

export const open: Open = {
  session: '01'.repeat(16),
  manifest: HASH,
  start: 3,
  leave: 6,
  secret: filled(32, 2),
  dtype: 'f16',
  context: 2048
}

export const hiddenStep: Step = {
  sequence: 7,
  position: 300,
  rows: 2,
  input: { kind: 'hidden', dtype: 'f16', bytes: bytes('003c00bc0040ff7b') },
  want: { rows: 1, candidates: 128, ids: [2, 300], logSumExp: true },
  timings: [{ queued: 0.5, computed: 3.25, handled: 4 }]
}

export const tokenStep: Step = {
  sequence: 1,
  position: 0,
  rows: 3,
  input: { kind: 'tokens', tokens: Uint32Array.of(1, 50_000, 2) },
  want: { rows: 0, candidates: 0, ids: [], logSumExp: false },
  timings: []
}

export const embeddingStep: Step = {
  ...tokenStep,
  want: { rows: 1, candidates: 0, ids: [], logSumExp: false, embedding: true }
}

export const manifest: Manifest = {
  name: 'ember',
  architecture: 'llama',
  layers: 8,
  width: 64,
  vocabulary: 512,
  context: 256,
  cuts: [2, 4, 6],
  pieceBytes: 4096,
  alignment: 32,
  header: { size: 100, pieces: [HASH] },
  tensors: [{ name: 'blk.0.attn_q.weight', dims: [64, 64], type: 1, data: { size: 8192, pieces: [HASH, HASH] } }],
  licence: 'Apache-2.0'
}

export const record: NodeRecord = {
  swarm: SWARM,
  sequence: 1_700_000_000_000,
  expires: 1_700_000_300_000,
  name: 'attic',
  agent: 'flambeau/0.1.0',
  state: 'online',
  addresses: ['/ip4/192.0.2.1/tcp/4150/p2p/12D3KooWPeer'],
  hardware: { backend: 'cpu', device: 'EPYC', threads: 8, memoryBytes: 2 ** 33 },
  models: [
    {
      manifest: HASH,
      name: 'ember',
      architecture: 'llama',
      layers: 8,
      cuts: [2, 4, 6],
      pieces: [{ start: 0, end: 8 }],
      shards: [
        {
          ...{ start: 0, end: 4, secondsPerLayer: 0.001, steadySecondsPerLayer: 0.002 },
          ...{ freeSessions: 3, freeContext: 8192, queue: 0.5 }
        }
      ],
      claim: { start: 4, end: 8 },
      pinned: true
    }
  ],
  latencies: [{ peer: PEER, seconds: 0.25 }],
  relay: true
}
