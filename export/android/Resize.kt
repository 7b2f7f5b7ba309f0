package kgan.textfilter

import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min

/**
 * Resizes RGB pixels like Pillow's `Resampling.BILINEAR`.
 *
 * The filter is a triangle as wide as the reduction. It is applied along the rows, then along the columns, in integer
 * arithmetic. Bitmap.createScaledBitmap would skip pixels instead. The result equals Pillow's, with one exception: from
 * version 13 on, Pillow resizes the columns first if the height shrinks much more, and a colour may differ by 1 of 255.
 *
 * @param pixels three bytes per pixel, row by row
 */
fun resize(pixels: ByteArray, width: Int, height: Int, newWidth: Int, newHeight: Int): ByteArray {
    val rows = resample(pixels, width, height, newWidth, 3, 3 * width, 3, 3 * newWidth)
    return resample(rows, height, newWidth, newHeight, 3 * newWidth, 3, 3 * newWidth, 3)
}

private const val BITS = 22 // fractional bits of the fixed-point weights

/** Resamples [count] lines of [length] pixels to [newLength]; the steps are distances in the arrays. */
private fun resample(
    pixels: ByteArray, length: Int, count: Int, newLength: Int,
    step: Int, lineStep: Int, newStep: Int, newLineStep: Int
): ByteArray {
    val result = ByteArray(3 * count * newLength)
    val scale = length.toDouble() / newLength
    val support = max(scale, 1.0)
    for (i in 0 until newLength) {
        val centre = (i + 0.5) * scale
        val first = max(0, (centre - support + 0.5).toInt())
        val last = min(length, (centre + support + 0.5).toInt())
        val weights = DoubleArray(last - first) { max(0.0, 1 - abs((it + first - centre + 0.5) / support)) }
        val sum = weights.sum()
        val fixed = IntArray(weights.size) { (0.5 + weights[it] / sum * (1 shl BITS)).toInt() }
        for (line in 0 until count) {
            for (c in 0 until 3) {
                var total = 1 shl (BITS - 1)
                var at = line * lineStep + first * step + c
                for (weight in fixed) {
                    total += (pixels[at].toInt() and 255) * weight
                    at += step
                }
                result[line * newLineStep + i * newStep + c] = min(255, total shr BITS).toByte()
            }
        }
    }
    return result
}
