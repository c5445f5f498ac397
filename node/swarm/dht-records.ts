import type { Selectors, Validators } from '@libp2p/kad-dht'
import { decodeNodeRecord } from '../../protocol/node-record.js'
import { NODE_RECORD_NAMESPACE, peerOfRecordKey } from '../../protocol/ids.js'
import { RecordEnvelope } from '@libp2p/peer-record'
import { SwarmError } from './errors.js'
import type { Trust } from '../trust/trust.js'
import type { RecordBook } from './record-book.js'
import { reasonOf } from './stream-reasons.js'

interface RecordValidatorParts {
  book: RecordBook
  trust: Pick<Trust, 'refuse'>
}

/**
 * What the DHT stores under `/flambeau-node/<peer>`. The rollback guard has to be in the validator: kad-dht never asks
 * the selector when a value is put (libp2p/js-libp2p#3377).
 */
export function recordValidators({ book, trust }: RecordValidatorParts): Validators {
  return {
    [NODE_RECORD_NAMESPACE]: async (key, envelope) => {
      const owner = peerOfRecordKey(key)
      if (owner === undefined) throw new SwarmError('RECORD_INVALID', 'the key of a node record names no peer')
      try {
        await book.learn(envelope, owner)
      } catch (error) {
        // Who put it is not known here.
        if (reasonOf(error) === 'FORGED_RECORD') trust.refuse('FORGED_RECORD')
        throw error
      }
    }
  }
}

/** Of records that were all validated: the highest sequence. */
export function recordSelectors(): Selectors {
  return {
    [NODE_RECORD_NAMESPACE]: (_key, envelopes) => {
      const sequences = envelopes.map(
        envelope => decodeNodeRecord(RecordEnvelope.createFromProtobuf(envelope).payload).sequence
      )
      return sequences.indexOf(Math.max(...sequences))
    }
  }
}
