// A generator of images in a browser, with LiteRT.js on one WebAssembly thread.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";
import { readMetadata } from "./filter.js";

let runtimeLoaded; // LiteRT.js loads but once

/**
 * Opens a generator's model file from `kgan export`.
 *
 * @param {Uint8Array} file bytes of the .tflite file
 * @param {string} runtime URL of the folder `wasm` of @litertjs/core
 * @returns {Promise<{latentDim: number, classNames: string[], draw: function, close: function}>} `classNames` is empty
 *     if the generator has no classes. `draw` takes `latentDim` numbers and a weight for each class, and returns a
 *     promise of an ImageData. `close` frees the memory.
 */
export async function openGenerator(file, runtime) {
  const metadata = readMetadata(file);
  const signature = metadata.signatures?.generate;
  if (!signature) throw new Error(`it holds a ${metadata.model ?? "text filter"}, which generates nothing from latents`);
  await (runtimeLoaded ??= loadLiteRt(runtime));
  const model = await loadAndCompile(file, { accelerator: "wasm" });
  const [, height, width, channels] = signature.output;

  async function draw(latents, weights) {
    const inputs = {};
    for (const [name, shape] of Object.entries(signature.inputs)) {
      inputs[name] = new Tensor(Float32Array.from(name === "latents" ? latents : weights), shape);
    }
    const { images } = await model.run("generate", inputs);
    const pixels = images.toTypedArray();
    const picture = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 3; c++) picture.data[4 * i + c] = pixels[channels * i + (channels === 3 ? c : 0)];
      picture.data[4 * i + 3] = 255;
    }
    [images, ...Object.values(inputs)].forEach((tensor) => tensor.delete());
    return picture;
  }

  const close = () => model.delete();
  return { latentDim: signature.inputs.latents[1], classNames: metadata.class_names ?? [], draw, close };
}

/** Returns `count` numbers from N(0, 1), the same for the same seed. */
export function normal(count, seed) {
  let state = seed;
  const uniform = () => { // mulberry32
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const one = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return Array.from({ length: count }, one);
}

/** Moves latents along directions, all drawn from N(0, 1), so that the sum is as if drawn from N(0, 1). */
export function moved(latents, directions, steps) {
  const length = Math.hypot(1, ...steps);
  return latents.map((z, i) => directions.reduce((sum, direction, k) => sum + steps[k] * direction[i], z) / length);
}

/** Returns the weights of `count` classes on the way from one class to another; `share` is 0 to 1. */
export function mixed(count, from, to, share) {
  const weights = new Array(count).fill(0);
  weights[from] += 1 - share;
  weights[to] += share;
  return weights;
}
