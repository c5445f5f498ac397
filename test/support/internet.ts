import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { type TemporaryFolder, temporaryFolder } from './temporary.js'

const execute = promisify(execFile)

/** Public as far as programs can tell (ranges for documentation are not); nothing leaves the namespaces. */
const OUTSIDE = '45.0.0'
const INSIDE = '192.168.1'
/** An Ethernet address that no host has. */
const NOBODY = '02:00:00:00:00:00'

/** A machine of the emulated internet. */
export interface Host {
  /** IPv4 of its one interface. */
  address: string
  /** What a command line has to begin with to run there. */
  within: readonly string[]
}

/**
 * An internet on this machine: hosts with public addresses, and hosts behind routers of their own that translate addresses
 * (NAT), let out what they begin and let nothing in. Each is a network namespace. Dispose it: nothing is left.
 */
export class Internet implements AsyncDisposable {
  static #count = 0
  readonly #prefix = `flambeau-${process.pid}-${++Internet.#count}`
  readonly #namespaces: string[] = []
  readonly #daemons: ChildProcess[] = []
  readonly #folder: TemporaryFolder
  #hosts = 0
  readonly #onExit = (): void => this.#daemons.forEach(daemon => daemon.kill('SIGKILL'))

  private constructor(folder: TemporaryFolder) {
    this.#folder = folder
    process.once('exit', this.#onExit)
  }

  /** Why there can be none on this machine, with routers or without; undefined: there can. */
  static async obstacle({ routers = true } = {}): Promise<string | undefined> {
    try {
      await using internet = await Internet.start()
      await (routers ? internet.hostBehindRouter({ upnp: true }) : internet.host())
      return undefined
    } catch (error) {
      const packages = routers ? 'packages iproute2, nftables, miniupnpd-nftables' : 'package iproute2'
      return `needs root, Linux and the Debian ${packages}: ${String(error)}`
    }
  }

  static async start(): Promise<Internet> {
    const internet = new Internet(await temporaryFolder())
    try {
      await internet.#addNamespace('backbone')
      await internet.#ip('backbone', 'link add bridge type bridge')
      await internet.#ip('backbone', 'link set bridge up')
      return internet
    } catch (error) {
      await internet[Symbol.asyncDispose]()
      throw error
    }
  }

  async host(): Promise<Host> {
    const { name, address } = await this.#plug('host')
    return { address, within: this.#within(name) }
  }

  /** From now on neither hears of the other, and nobody is told: each sends to an Ethernet address that nobody has. */
  async cut(a: Host, b: Host): Promise<void> {
    const deaf = async (host: Host, { address }: Host): Promise<void> =>
      enter(host, ...`ip neigh replace ${address} lladdr ${NOBODY} dev outside nud permanent`.split(' '))
    await Promise.all([deaf(a, b), deaf(b, a)])
  }

  /** Undoes `cut`. */
  async heal(a: Host, b: Host): Promise<void> {
    const hear = async (host: Host, { address }: Host): Promise<void> =>
      enter(host, ...`ip neigh del ${address} dev outside`.split(' '))
    await Promise.all([hear(a, b), hear(b, a)])
  }

  /** @param upnp - the router forwards ports when it is asked to. */
  async hostBehindRouter({ upnp = false } = {}): Promise<Host> {
    const { name: router } = await this.#plug('router')
    const host = `${router}-host`
    await this.#addNamespace(host)
    await this.#ip(router, `link add inside type veth peer name uplink netns ${this.#full(host)}`)
    await this.#ip(router, `addr add ${INSIDE}.1/24 dev inside`)
    await this.#ip(router, 'link set inside up')
    await this.#ip(host, `addr add ${INSIDE}.2/24 dev uplink`)
    await this.#ip(host, 'link set uplink up')
    await this.#ip(host, `route add default via ${INSIDE}.1`)
    await this.#run(router, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
    const rules = this.#folder.file(`${router}.nft`)
    await writeFile(rules, ROUTER_RULES)
    await this.#run(router, 'nft', '-f', rules)
    if (upnp) await this.#startUpnp(router)
    return { address: `${INSIDE}.2`, within: this.#within(host) }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    process.removeListener('exit', this.#onExit)
    this.#onExit()
    for (const name of this.#namespaces) await execute('ip', ['netns', 'delete', name])
    await this.#folder.remove()
  }

  /** A new namespace with a public address. */
  async #plug(kind: string): Promise<{ name: string; address: string }> {
    const n = ++this.#hosts
    const [name, address] = [`${kind}-${n}`, `${OUTSIDE}.${n}`]
    await this.#addNamespace(name)
    await this.#ip(name, `link add outside type veth peer name port${n} netns ${this.#full('backbone')}`)
    await this.#ip('backbone', `link set port${n} master bridge up`)
    await this.#ip(name, `addr add ${address}/24 dev outside`)
    await this.#ip(name, 'link set outside up')
    return { name, address }
  }

  /** A real one, as routers have it; it says on its error output when it is ready. */
  async #startUpnp(router: string): Promise<void> {
    const config = this.#folder.file(`${router}.conf`)
    await writeFile(config, UPNP_CONFIG)
    const [program = '', ...args] = this.#within(router)
    const pidFile = this.#folder.file(`${router}.pid`)
    const daemon = spawn(program, [...args, 'miniupnpd', '-d', '-f', config, '-P', pidFile], { stdio: 'pipe' })
    this.#daemons.push(daemon)
    await new Promise<void>((resolve, reject) => {
      let said = ''
      daemon.once('error', reject)
      daemon.once('exit', () => reject(new Error(`miniupnpd ended: ${said}`)))
      daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
        said = (said + text).slice(-2_000)
        if (said.includes('HTTP listening')) resolve()
      })
    })
  }

  async #addNamespace(name: string): Promise<void> {
    await execute('ip', ['netns', 'add', this.#full(name)])
    this.#namespaces.push(this.#full(name))
    await this.#ip(name, 'link set lo up')
  }

  async #ip(name: string, command: string): Promise<void> {
    await execute('ip', ['-n', this.#full(name), ...command.split(' ')])
  }

  async #run(name: string, ...command: string[]): Promise<void> {
    await enter({ within: this.#within(name) }, ...command)
  }

  #within(name: string): string[] {
    return ['ip', 'netns', 'exec', this.#full(name)]
  }

  #full(name: string): string {
    return `${this.#prefix}-${name}`
  }
}

/** Runs a command on this machine. */
async function enter({ within }: Pick<Host, 'within'>, ...command: string[]): Promise<void> {
  const [program = '', ...args] = [...within, ...command]
  await execute(program, args)
}

/** The chains whose names begin with upnp are the UPnP server's. */
const ROUTER_RULES = `table inet filter {
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "inside" accept
    jump upnp_forward
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    jump upnp_prerouting
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    jump upnp_postrouting
    oifname "outside" masquerade
  }
  chain upnp_forward {
  }
  chain upnp_prerouting {
  }
  chain upnp_postrouting {
  }
}
`

const UPNP_CONFIG = `ext_ifname=outside
listening_ip=inside
port=0
enable_upnp=yes
enable_natpmp=no
secure_mode=yes
uuid=4d1f1c4e-7d0a-4f2b-9d55-6f6c616d6265
allow 1024-65535 0.0.0.0/0 1024-65535
upnp_table_name=filter
upnp_nat_table_name=filter
upnp_forward_chain=upnp_forward
upnp_nat_chain=upnp_prerouting
upnp_nat_postrouting_chain=upnp_postrouting
`
