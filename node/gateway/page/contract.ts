/** What the page is told. Shared by the gateway and by the page's own scripts. */
import type { StatusView } from '../../control/contract.js'
import type { InviteView } from '../../control/service.js'

/** `status` of the event stream: what changes by itself every moment, and what no page needs, is left out. */
export type PageStatus = Omit<StatusView, 'uptimeSeconds' | 'pid' | 'home' | 'page'> & {
  /** That this node's layers have computed since its start. */
  positions: number
}

/** Answer of `GET /page/invitation`. */
export type PageInvitation = InviteView & {
  /** A QR code of it, SVG; undefined where the invitation is too long for one. */
  qr: string | undefined
}
