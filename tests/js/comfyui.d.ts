// The part of ComfyUI's page that js/ uses.

declare module '*/scripts/app.js' {
  interface PreviewExtension {
    name: string
    init?(): Promise<void>
    setup?(): void
    nodeCreated?(node: any): void
    getNodeMenuItems?(node: any): any[]
    afterConfigureGraph?(): void
  }

  export const app: {
    rootGraph?: any
    graph: any
    canvas?: { canvas: HTMLCanvasElement }
    extensionManager?: { setting?: { get(name: string): any } }
    registerExtension(extension: PreviewExtension): void
  }
}

interface Window {
  LiteGraph: { uuidv4(): string }
}

declare module '*/scripts/api.js' {
  export const api: {
    apiURL(path: string): string
    addEventListener(name: string, listener: (event: any) => void): void
  }
}
