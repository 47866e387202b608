/**
 * Chinese for sentences of the server: errors, what is being done, and notes. English on the left
 * as the core writes it, `{name}` for a value; what is in no line is shown in English.
 */

/** @type {[string, string][]} */
export const SENTENCES = [
  // what is being done
  ['checking', '正在检查'],
  ['copying the render that was kept', '正在复制已保存的结果'],
  ['encoding the portrait and the prompt', '正在编码肖像和提示词'],
  ['reading weights: {network}', '正在读取权重：{network}'],
  ['finishing the file', '正在完成文件'],
  ['writing the {container} file', '正在写入 {container} 文件'],
  ['text encoder', '文本编码器'],
  ['CLIP vision', 'CLIP 视觉编码器'],
  ['light VAE', '轻量 VAE 自编码器'],
  ['VAE', 'VAE 自编码器'],
  ['transformer', '扩散变换器'],
  ['audio encoder', '音频编码器'],
  // files
  ['{kind} {path}: no such file; check the path', '{kind} {path}：文件不存在；请检查路径'],
  ['{kind} {path}: this is a folder; name a file in it', '{kind} {path}：这是文件夹；请选择其中的文件'],
  ['{kind} {path}: the file is empty, 0 bytes; copy it again', '{kind} {path}：文件为空（0 字节）；请重新复制'],
  ['image {path}: its {size} bytes are no image in a format that is read; use PNG or JPEG ({others} are read too)', '图像 {path}：{size} 字节，不是可读取的图像格式；请使用 PNG 或 JPEG（也可读取 {others}）'],
  ['image {path}: cannot be read ({reason}); the file is cut short or damaged, copy it or export it again', '图像 {path}：无法读取（{reason}）；文件不完整或已损坏，请重新复制或导出'],
  ['{name}: {width}x{height} pixels; need at least {least}', '{name}：{width}x{height} 像素；至少需要 {least}'],
  ['{path}: {size} bytes that are no safetensors file ({error}); download it again', '{path}：{size} 字节，不是 safetensors 文件（{error}）；请重新下载'],
  ['{part} not found in {places}: looked for {wanted}; {remedy}', '在 {places} 中找不到 {part}：查找过 {wanted}；{remedy}'],
  ['{count} parts of the model are missing or cannot be used:', '模型有 {count} 个部分缺失或无法使用（悬停查看全部）'],
  // output
  ['output {path}: writing stopped after {size} bytes, {reason}; free some space or choose another disk; {rest}', '输出 {path}：写入 {size} 字节后停止（{reason}）；请释放空间或换一个磁盘；{rest}'],
  ['filename prefix {prefix}: it leads outside the output folder; use a name, or folders below it', '文件名前缀 {prefix}：指向输出文件夹之外；请使用名称或其中的子文件夹'],
  ['filename prefix {prefix}: it ends without a name; add one', '文件名前缀 {prefix}：末尾没有名称；请补上'],
  // audio
  ['audio {path}: its {size} bytes are not audio that {reader} can read; export it again as {kinds}', '音频 {path}：{size} 字节，{reader} 无法读取；请重新导出为 {kinds}'],
  ['audio {path}: it holds 0 samples; record or export it again', '音频 {path}：长度为 0；请重新录制或导出'],
  ['audio {path}: no audio track in it (only {kinds}); use a file with audio', '音频 {path}：没有音轨（仅有 {kinds}）；请使用带音频的文件'],
  ['audio start {start} s: {path} lasts {length} s; start earlier', '音频起点 {start} 秒：{path} 只有 {length} 秒；请提前起点'],
  ['audio duration {duration} s: use more than 0 s, from {least} to {most}, or leave it out for all of the audio', '音频时长 {duration} 秒：请使用 {least} 到 {most} 秒，或留空使用整段音频'],
  ['audio batch of {count}: one audio clip makes one video; use a batch of 1, and queue the others one by one', '音频批次为 {count}：一段音频生成一个视频；请使用批次 1，其余逐个运行'],
  ['audio {path}: it is silent, the mouth will stay closed', '音频 {path}：没有声音，嘴将保持闭合'],
  ['audio {path}: changed while it was rendered, only {left} of {length} s are left; keep it as it is until the video is written, and render again', '音频 {path}：渲染期间被改动，{length} 秒中只剩 {left} 秒；视频写完之前请勿改动，然后重新渲染'],
  ['audio {path}: changed while it was rendered, its samples differ after {start} s; keep it as it is until the video is written, and render again', '音频 {path}：渲染期间被改动，{start} 秒之后已是另一段音频；视频写完之前请勿改动，然后重新渲染'],
  // networks
  ['chunk {number}: {what} NaN or infinite; use another dtype ({formats}), or another prompt or portrait', '第 {number} 个片段：出现 NaN 或无穷大（{what}）；请换用其他数值格式（{formats}），或更换提示词或肖像'],
  // videos
  ['video {path}: cannot be read ({reason}); use a finished video, or copy it again', '视频 {path}：无法读取（{reason}）；请使用完整的视频，或重新复制'],
  ['start {start} s: the video lasts {length} s only; begin earlier', '起始时间 {start} 秒：视频只有 {length} 秒；请提前起始时间'],
  ['frames {count}: as images of {size}, with their audio, they take {needed} GB of memory, the limit is {limit} GB; read at most {most} frames, or raise limit_gb', '{count} 帧：作为 {size} 的图像连同声音需占 {needed} GB 内存，上限为 {limit} GB；请最多读取 {most} 帧，或调高 limit_gb'],
  // settings
  ['size {size}: {model} is known to work at {sizes} only', '尺寸 {size}：{model} 仅在 {sizes} 下经过验证'],
  ['steps {steps}: use 1 to 100 (4 for distilled weights)', '步数 {steps}：请使用 1 到 100（蒸馏权重为 4）'],
  ['size {size}: {name} {value} must be a multiple of {step} from {least} to {most}', '尺寸 {size}：{name} {value} 必须是 {step} 的倍数，范围 {least} 到 {most}'],
  ["prompt changes: {line} is not a time, a colon and a prompt; write '12.5: She smiles', or '1:05: She smiles' for minutes and seconds", '提示词变化：{line} 不是“时间: 提示词”的格式；请写成 12.5: She smiles，或用 1:05: She smiles 表示分和秒'],
  ['prompt change at {after} s: it follows one at {before} s; {remedy}', '{after} 秒处的提示词变化：排在 {before} 秒之后；请按时间先后排列'],
  ["device {name}: {reason}; use 'cpu', 'auto', 'cuda:1' or 'mps', or see `python -m flashtalk_core doctor`", '设备 {name}：{reason}；请使用 cpu、auto、cuda:1 或 mps，或运行 python -m flashtalk_core doctor'],
  // memory
  ['memory {mode}: with no block on the device, about {needed} GB of its memory are needed at this size, {free} GB are free; use a smaller size, or close what else uses the GPU', '显存 {mode}：即使不在显卡上保留任何层，此尺寸也约需 {needed} GB，可用 {free} GB；请减小尺寸，或关闭其他占用显卡的程序'],
]

/** What nodes of this pack put before an error. */
const BLAME = /^(FlashTalk [A-Za-z ]+), input '(\w+)': (.*)$/s

/** @type {{ pattern: RegExp, names: string[], chinese: string }[]} */
const PATTERNS = SENTENCES.map(([english, chinese]) => {
  const names = [...english.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
  const parts = english.split(/\{\w+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return { pattern: new RegExp(`^${parts.join('(.+?)')}$`, 's'), names, chinese }
})

/** Longer ones are of other packs, and matching takes time that grows with a power of the length. */
const MAX_LENGTH = 600
const MAX_KEPT = 200

/** @type {Map<string, string>} */
const kept = new Map()

/**
 * A sentence of the server in Chinese, or as it is. Asked several times a second while one is shown.
 * @param {string} sentence
 * @returns {string}
 */
export function translate(sentence) {
  const known = kept.get(sentence)
  if (known !== undefined) return known
  if (kept.size >= MAX_KEPT) kept.clear()
  const chinese = sentence.length > MAX_LENGTH ? sentence : match(sentence)
  kept.set(sentence, chinese)
  return chinese
}

/**
 * @param {string} sentence
 * @returns {string}
 */
function match(sentence) {
  const blamed = BLAME.exec(sentence)
  if (blamed) return `${blamed[1]}，输入 ${blamed[2]}：${translate(blamed[3])}`
  for (const { pattern, names, chinese } of PATTERNS) {
    const found = pattern.exec(sentence)
    if (!found) continue
    const values = Object.fromEntries(names.map((name, i) => [name, found[i + 1]]))
    return chinese.replace(/\{(\w+)\}/g, (_, name) => translate(values[name]))
  }
  return sentence
}
