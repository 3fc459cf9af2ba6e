// Search runs in a worker, and browsers refuse to start one from a page that was opened from disk. There, an invisible
// frame runs the script of the worker in its place.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.waiting = []
      this.frame = document.createElement("iframe")
      this.frame.hidden = true
      document.body.append(this.frame)
      const inside = this.frame.contentWindow
      inside.document.open()
      inside.document.write("<!doctype html><body></body>")
      inside.document.close()
      inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", {data}))
      inside.importScripts = (...urls) => urls.reduce((last, each) => last.then(() => this.load(each)), Promise.resolve())
      this.load(url).then(() => {
        this.isLoaded = true
        this.waiting.splice(0).forEach(data => this.postMessage(data))
      })
    }

    load(url) {
      const page = this.frame.contentDocument
      return new Promise((resolve, reject) => {
        const script = page.createElement("script")
        script.src = new URL(url, location.href)
        script.onload = resolve
        script.onerror = () => reject(new Error(`${script.src} could not be loaded`))
        page.body.append(script)
      })
    }

    postMessage(data) {
      if (this.isLoaded) this.frame.contentWindow.dispatchEvent(new MessageEvent("message", {data}))
      else this.waiting.push(data)
    }

    terminate() {
      this.frame.remove()
    }
  }
}
