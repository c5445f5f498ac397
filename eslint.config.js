import js from '@eslint/js'
import prettier from 'eslint-config-prettier'
import tseslint from 'typescript-eslint'

/** Imports point one way: cli → node → protocol. */
const forbid = (files, ...folders) => ({
  files: [`${files}/**/*.ts`],
  rules: {
    'no-restricted-imports': [
      'error',
      {
        patterns: folders.map(folder => ({
          regex: `^(\\.\\./)+${folder}/`,
          message: `${files}/ must not import from ${folder}/`
        }))
      }
    ]
  }
})

export default tseslint.config(
  { ignores: ['dist', 'coverage', 'protocol/generated', 'models'] },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.strictTypeChecked, ...tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/consistent-type-definitions': ['error', 'interface'],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/prefer-nullish-coalescing': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { ignoreUsingDeclarations: true }],
      'max-params': ['error', 4],
      eqeqeq: ['error', 'always', { null: 'ignore' }]
    }
  },
  {
    files: ['**/*.js'],
    ignores: ['node/gateway/page/static/**'],
    languageOptions: {
      globals: { process: 'readonly', console: 'readonly', URL: 'readonly', Buffer: 'readonly' }
    }
  },
  {
    // What runs in a browser.
    files: ['node/gateway/page/static/**/*.js'],
    languageOptions: {
      globals: Object.fromEntries(
        [
          ...['AbortController', 'clearTimeout', 'document', 'fetch', 'location', 'navigator', 'requestAnimationFrame'],
          ...['sessionStorage', 'setInterval', 'setTimeout', 'TextDecoderStream', 'window']
        ].map(name => [name, 'readonly'])
      )
    },
    rules: {
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-restricted-properties': [
        'error',
        // Answers and names come from strangers: they are text, and never markup.
        ...['innerHTML', 'outerHTML', 'insertAdjacentHTML', 'write'].map(property => ({ property }))
      ]
    }
  },
  { files: ['test/**/*.ts'], rules: { 'max-params': 'off' } },
  forbid('protocol', 'node', 'cli', 'test'),
  forbid('node', 'cli', 'test'),
  forbid('cli', 'test'),
  prettier
)
