import { defineConfig } from 'vitest/config'

const shared = { pool: 'forks' as const, setupFiles: ['node/compat.ts'] }

export default defineConfig({
  test: {
    projects: [
      { test: { ...shared, name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 30_000 } },
      {
        // Whole processes and real models: one file at a time, so that two cores are not shared by several swarms.
        test: {
          ...shared,
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false
        }
      }
    ]
  }
})
