import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import {
  collected,
  cutsArgument,
  existingFile,
  layersArgument,
  numberBetween,
  wholeBetween
} from '../../../cli/arguments.js'
import { flagsOf, settingOptions } from '../../../cli/commands/up.js'
import { addAnswerOptions, samplingOf, type AnswerOptions } from '../../../cli/sampling.js'
import { SETTING_KEYS } from '../../../node/config-schema.js'

function parse(command: Command, args: string[]): Command {
  return command
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .parse(args, { from: 'user' })
}

describe('arguments', () => {
  it('are numbers within bounds', () => {
    expect(numberBetween({ minimum: 0, maximum: 1 })('0.5')).toBe(0.5)
    expect(wholeBetween(1, 9)('9')).toBe(9)
    for (const text of ['', 'x', '-0.1', '1.1', 'NaN', 'Infinity']) {
      expect(() => numberBetween({ minimum: 0, maximum: 1 })(text)).toThrow('Must be a number from 0 to 1.')
    }
    expect(() => wholeBetween(1, 9)('1.5')).toThrow('Must be a whole number from 1 to 9.')
  })

  it('are ranges, cuts, lists and files', () => {
    expect(layersArgument('0-8')).toEqual({ start: 0, end: 8 })
    expect(() => layersArgument('8')).toThrow('0-8')
    expect(cutsArgument('2,5')).toEqual([2, 5])
    expect(() => cutsArgument('5,2')).toThrow('ascending')
    expect(collected('b', ['a'])).toEqual(['a', 'b'])
    expect(existingFile('package.json')).toMatch(/^(\/|[A-Z]:).*package\.json$/)
    expect(() => existingFile('no/such/file')).toThrow(expect.objectContaining({ code: 'NO_FILE' }) as Error)
  })

  it('of sampling become a request without empty keys', () => {
    const args = [
      '--temperature',
      '0',
      '--top-k',
      '5',
      '--stop',
      'A',
      '--stop',
      'B',
      '--seed',
      '7',
      '--max-tokens',
      '9'
    ]
    const options: AnswerOptions = parse(addAnswerOptions(new Command()), args).opts()
    expect(samplingOf(options)).toEqual({ temperature: 0, topK: 5, stop: ['A', 'B'], seed: 7, maxTokens: 9 })
    expect(samplingOf({})).toEqual({})
  })
})

describe('the options of up', () => {
  function flags(...args: string[]) {
    const command = new Command()
    for (const option of settingOptions()) command.addOption(option)
    return flagsOf(parse(command, args))
  }

  it('are none unless they are given', () => expect(flags()).toEqual({}))

  it('reach the settings of their names', () => {
    expect(
      flags('--port', '1', '--no-mdns', '--relay', '--memory', '4GiB', '--gpu-layers', '0', '--log-level', 'warn')
    ).toEqual({
      'network.port': '1',
      'network.mdns': false,
      'network.relay': true,
      'share.memory': '4GiB',
      'engine.gpu_layers': '0',
      'log.level': 'warn'
    })
  })

  it('turn switches both ways', () => {
    expect(flags('--mdns', '--no-relay')).toEqual({ 'network.mdns': true, 'network.relay': false })
  })

  it('exist for every setting', () => {
    expect(settingOptions().length).toBeGreaterThanOrEqual(SETTING_KEYS.length)
  })
})
