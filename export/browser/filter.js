// The text filter in a browser, with LiteRT.js on one WebAssembly thread.

import { loadAndCompile, loadLiteRt, Tensor } from "@litertjs/core";

/**
 * Opens a model file from `kgan export`.
 *
 * @param {string} url URL of the .tflite file
 * @param {string} runtime URL of the folder `wasm` of @litertjs/core
 * @returns {Promise<{metadata: object, look: function}>} `look` takes a Blob with an image and returns a promise of
 *     `{score, regions, picture}`: a number from 0 to 1, an array of 34 such numbers, and the image as an ImageBitmap.
 */
export async function openFilter(url, runtime) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`no model at ${url}: copy one there`);
  const file = new Uint8Array(await answer.arrayBuffer());
  const metadata = readMetadata(file);
  await loadLiteRt(runtime);
  const model = await loadAndCompile(file, { accelerator: "wasm" });

  async function scores(pixels, [height, width]) {
    const images = new Tensor(pixels, [1, height, width, 3]);
    const found = await model.run(`${height}x${width}`, { images });
    const result = { score: found.score.toTypedArray()[0], regions: Array.from(found.regions.toTypedArray()) };
    [images, ...Object.values(found)].forEach((tensor) => tensor.delete());
    return result;
  }

  async function look(blob) {
    // Upright, with colours and alpha as stored in the file, like Pillow.
    const options = { colorSpaceConversion: "none", premultiplyAlpha: "none" };
    const picture = await createImageBitmap(blob, options);
    const bucket = nearestBucket(picture, metadata.buckets);
    const results = [];
    for (const view of views(picture)) {
      results.push(await scores(resize(view, picture.width, picture.height, bucket[1], bucket[0]), bucket));
    }
    const regions = results[0].regions.map((_, i) => Math.max(...results.map((result) => result.regions[i])));
    return { score: Math.max(...results.map((result) => result.score)), regions, picture };
  }

  return { metadata, look };
}

/** Reads `kgan.json`, the only member, uncompressed, of the zip archive that follows the model in a model file. */
export function readMetadata(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const end = file.byteLength - 22; // the end record, which has no comment
  if (end < 0 || view.getUint32(end, true) !== 0x06054b50) throw new Error("the model file has no kgan.json");
  const entry = end - view.getUint32(end + 12, true);
  const archive = entry - view.getUint32(end + 16, true); // offsets are relative to the start of the file or archive
  const [size, header] = [view.getUint32(entry + 24, true), archive + view.getUint32(entry + 42, true)];
  const start = header + 30 + view.getUint16(header + 26, true) + view.getUint16(header + 28, true);
  return JSON.parse(new TextDecoder().decode(file.subarray(start, start + size)));
}

/** Returns the bucket `[height, width]` with the nearest ratio of width to height. */
export function nearestBucket({ width, height }, buckets) {
  const distance = ([h, w]) => Math.abs(Math.log(w / h) - Math.log(width / height));
  return buckets.reduce((best, bucket) => (distance(bucket) < distance(best) ? bucket : best));
}

/** Returns the RGB pixels of an image; an image with transparency is returned twice, over white and over black. */
function views(picture) {
  const context = new OffscreenCanvas(picture.width, picture.height).getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  const { data } = context.getImageData(0, 0, picture.width, picture.height);
  const transparent = data.some((value, i) => i % 4 === 3 && value < 255);
  return (transparent ? [255, 0] : [0]).map((ground) => {
    const pixels = new Uint8Array((data.length / 4) * 3);
    for (let i = 0, j = 0; i < data.length; i += 4) {
      const alpha = data[i + 3] / 255;
      for (let c = 0; c < 3; c++) pixels[j++] = Math.round(alpha * data[i + c] + (1 - alpha) * ground);
    }
    return pixels;
  });
}

/**
 * Resizes RGB pixels like Pillow's `Resampling.BILINEAR`.
 *
 * The filter is a triangle as wide as the reduction. It is applied along the rows, then along the columns, in integer
 * arithmetic. A canvas would resize in a browser's own way. The result equals Pillow's, with one exception: from version
 * 13 on, Pillow resizes the columns first if the height shrinks much more, and a colour may differ by 1 of 255.
 */
export function resize(pixels, width, height, newWidth, newHeight) {
  const rows = resample(pixels, width, height, newWidth, 3, 3 * width, 3, 3 * newWidth);
  return resample(rows, height, newWidth, newHeight, 3 * newWidth, 3, 3 * newWidth, 3);
}

const BITS = 22; // fractional bits of the fixed-point weights

/** Resamples `count` lines of `length` pixels to `newLength`; the steps are distances in the arrays. */
function resample(pixels, length, count, newLength, step, lineStep, newStep, newLineStep) {
  const result = new Uint8Array(3 * count * newLength);
  const scale = length / newLength;
  const support = Math.max(scale, 1);
  for (let i = 0; i < newLength; i++) {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(length, Math.trunc(centre + support + 0.5));
    const weights = [];
    for (let k = first; k < last; k++) weights.push(Math.max(0, 1 - Math.abs((k - centre + 0.5) / support)));
    const sum = weights.reduce((a, b) => a + b);
    const fixed = weights.map((weight) => Math.trunc(0.5 + (weight / sum) * 2 ** BITS));
    for (let line = 0; line < count; line++) {
      for (let c = 0; c < 3; c++) {
        let total = 2 ** (BITS - 1);
        for (let k = 0, at = line * lineStep + first * step + c; k < fixed.length; k++, at += step) {
          total += pixels[at] * fixed[k];
        }
        result[line * newLineStep + i * newStep + c] = Math.min(255, total >> BITS);
      }
    }
  }
  return result;
}
