export { defineJoin as define } from './swarm.js'
