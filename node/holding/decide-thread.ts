/** Entry point of the thread on which a node works out its next place: answers one request and ends. */
import '../compat.js'
import { parentPort, workerData } from 'node:worker_threads'
import { rebalance } from '../scheduler/rebalance.js'
import type { RebalanceRequest } from '../scheduler/types.js'

parentPort?.postMessage(rebalance(workerData as RebalanceRequest))
