package kgan.textfilter

import android.content.Context
import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.math.abs
import kotlin.math.ln
import org.json.JSONObject

/**
 * Tells whether bitmaps contain text, with a model file from `kgan export`. Not thread-safe.
 *
 *     TextFilter(context, "student-int8.tflite").use { filter ->
 *         if (filter.look(bitmap).score >= filter.threshold(recall = "0.97")) showText(bitmap)
 *     }
 *
 * @param asset name of the model file in `assets`
 */
class TextFilter(context: Context, asset: String) : AutoCloseable {
    /**
     * The score of an image and of its regions, 0 to 1.
     *
     * [regions] holds the 25 cells of a 5x5 grid row by row, then the 9 of a 3x3 grid. [score] is the largest of them,
     * unless the student has `context` or is calibrated.
     */
    class Result(val score: Float, val regions: FloatArray)

    private val metadata = metadata(context.assets.open(asset).use { it.readBytes() })
    private val model = CompiledModel.create(context.assets, asset, CompiledModel.Options(Accelerator.CPU))
    private val buckets = metadata.getJSONArray("buckets").let { all ->
        (0 until all.length()).map { all.getJSONArray(it).getInt(0) to all.getJSONArray(it).getInt(1) }
    }

    /** Returns the threshold of the best F-measure, or the one stored for a recall. */
    fun threshold(recall: String? = null): Double {
        val stored = metadata.getJSONObject("thresholds")
        return if (recall == null) stored.getDouble("best_f") else stored.getJSONObject("recall").getDouble(recall)
    }

    /**
     * Scores a bitmap.
     *
     * @param bitmap an opaque, upright image: BitmapFactory does not apply the EXIF orientation
     */
    fun look(bitmap: Bitmap): Result {
        val shape = ln(bitmap.width.toDouble() / bitmap.height)
        val (height, width) = buckets.minByOrNull { (h, w) -> abs(ln(w.toDouble() / h) - shape) }!!
        val signature = "${height}x$width"
        val image = model.createInputBuffer("images", signature)
        val score = model.createOutputBuffer("score", signature)
        val regions = model.createOutputBuffer("regions", signature)
        try {
            image.writeInt8(resize(rgb(bitmap), bitmap.width, bitmap.height, width, height))
            model.run(mapOf("images" to image), mapOf("score" to score, "regions" to regions), signature)
            return Result(score.readFloat()[0], regions.readFloat())
        } finally {
            listOf(image, score, regions).forEach { it.close() }
        }
    }

    override fun close() = model.close()
}

/** Returns the red, green and blue bytes of each pixel. */
private fun rgb(bitmap: Bitmap): ByteArray {
    val colours = IntArray(bitmap.width * bitmap.height)
    bitmap.getPixels(colours, 0, bitmap.width, 0, 0, bitmap.width, bitmap.height)
    val pixels = ByteArray(3 * colours.size)
    colours.forEachIndexed { i, colour ->
        pixels[3 * i] = (colour shr 16).toByte()
        pixels[3 * i + 1] = (colour shr 8).toByte()
        pixels[3 * i + 2] = colour.toByte()
    }
    return pixels
}

/** Reads `kgan.json`, the only member, uncompressed, of the zip archive that follows the model in a model file. */
private fun metadata(file: ByteArray): JSONObject {
    val bytes = ByteBuffer.wrap(file).order(ByteOrder.LITTLE_ENDIAN)
    val end = file.size - 22 // the end record, which has no comment
    require(end >= 0 && bytes.getInt(end) == 0x06054b50) { "the model file has no kgan.json: use one from kgan export" }
    val entry = end - bytes.getInt(end + 12)
    val archive = entry - bytes.getInt(end + 16) // offsets are relative to the start of the file or of the archive
    val header = archive + bytes.getInt(entry + 42)
    val start = header + 30 + bytes.getShort(header + 26) + bytes.getShort(header + 28)
    return JSONObject(String(file, start, bytes.getInt(entry + 24)))
}
