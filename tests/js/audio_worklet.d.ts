// What an audio thread has, of what the live page uses.

declare class AudioWorkletProcessor {
  readonly port: MessagePort
}

declare const sampleRate: number

declare function registerProcessor(name: string, kind: new () => AudioWorkletProcessor): void
