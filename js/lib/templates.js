/**
 * Cards of the template browser. The server lists bare file names, the page shows these as titles,
 * and before ComfyUI sorted them they came in the order of the disk.
 */

import { languageOf } from './words.js'

/** @typedef {{ title: string, description: string }} Card */
/** @typedef {Record<string, string[]>} Listing file names by folder of the pack */
/**
 * @typedef {object} Category one of those that ComfyUI's own templates come in
 * @property {string} moduleName
 * @property {string} title
 * @property {object[]} templates
 */

/** @type {Record<string, Record<string, Card>>} by language, then by file name */
export const CARDS = {
  en: {
    '1_first_talking_head': {
      title: '1. First talking head',
      description: 'Open and run: a drawn portrait speaks, on any computer, with nothing to download.',
    },
    '2_production_14b': {
      title: '2. Talking photo with the 14B model',
      description: 'Real portraits at 448x768 with SoulX-FlashTalk 14B, on one GPU from 12 GB on.',
    },
    '2b_infinitetalk': {
      title: '2b. InfiniteTalk, streamed',
      description: 'Files of native workflows, Wan 2.1 and InfiniteTalk, chunk by chunk in constant memory.',
    },
    '3_long_speech_prompts': {
      title: '3. Long speech, changing prompts',
      description: 'Expression and movement change at given seconds, for as long as the speech lasts.',
    },
    '4_generate_then_animate': {
      title: '4. Draw a portrait, then animate it',
      description: 'A checkpoint draws the portrait in the same graph, FlashTalk lets it speak.',
    },
    '5_several_gpus': {
      title: '5. One video on several GPUs',
      description: 'Two or more NVIDIA GPUs render each chunk together, on Linux, with the 14B model.',
    },
    '6_live_microphone': {
      title: '6. Talk through a portrait, live',
      description: 'Speak into the microphone, and the portrait says it while you watch.',
    },
    '7_live_speech': {
      title: '7. Text to speech, live',
      description: 'Send speech to an address while the workflow runs; interrupt it at any time.',
    },
    '8_native_model': {
      title: '8. Native model, with LoRAs and patches',
      description: 'ComfyUI runs InfiniteTalk or FlashTalk, GGUF and LoRA stacks included, chunk by chunk.',
    },
    '9_two_speakers': {
      title: '9. Two people in one image',
      description: 'Each moves the mouth to their own voice: two recordings, or one with turns.',
    },
  },
  zh: {
    '1_first_talking_head': {
      title: '1. 第一个会说话的头像',
      description: '打开就能运行：手绘人像开口说话，任何电脑都行，不用下载。',
    },
    '2_production_14b': {
      title: '2. 用 14B 模型让照片说话',
      description: '用 SoulX-FlashTalk 14B 生成 448x768 的真人视频，单张 12 GB 以上显卡即可。',
    },
    '2b_infinitetalk': {
      title: '2b. 流式运行 InfiniteTalk 的文件',
      description: '用原生工作流的 Wan 2.1 和 InfiniteTalk 文件逐段生成，内存占用不随时长增加。',
    },
    '3_long_speech_prompts': {
      title: '3. 长语音，定时更换提示词',
      description: '在指定的秒数改变表情和动作，语音有多长就说多长。',
    },
    '4_generate_then_animate': {
      title: '4. 先画人像，再让它说话',
      description: '同一个工作流里先用检查点模型画人像，再由 FlashTalk 让它开口。',
    },
    '5_several_gpus': {
      title: '5. 多张显卡生成一个视频',
      description: '在 Linux 上用 14B 模型，两张或更多 NVIDIA 显卡一起生成。',
    },
    '6_live_microphone': {
      title: '6. 实时借人像说话',
      description: '对着麦克风说话，人像随即跟着说，边说边看。',
    },
    '7_live_speech': {
      title: '7. 实时语音合成',
      description: '工作流运行时把语音发到一个地址，随时可以打断。',
    },
    '8_native_model': {
      title: '8. 原生模型，可加 LoRA 和补丁',
      description: '由 ComfyUI 逐段运行 InfiniteTalk 或 FlashTalk，支持 GGUF 和多个 LoRA。',
    },
    '9_two_speakers': {
      title: '9. 一张图里的两个人',
      description: '各自随自己的声音动嘴：两段录音，或一段录音按轮次分给两人。',
    },
  },
}

/**
 * @param {string} name file name without its ending
 * @param {string | undefined} language of the page, such as `zh` or `zh-TW`
 * @returns {Card}
 */
export function cardOf(name, language) {
  const cards = CARDS[languageOf(language ?? 'en')]
  const words = name.replaceAll('_', ' ')
  return cards[name] ?? { title: words, description: words }
}

/**
 * The pack's templates as the page takes its own, in the order of their names.
 * @param {string} folder of the pack
 * @param {string[]} names
 * @param {string} [language]
 * @returns {Category}
 */
export function categoryOf(folder, names, language) {
  const templates = [...names].sort().map((name) => ({
    name,
    mediaType: 'image',
    mediaSubtype: 'jpg',
    ...cardOf(name, language),
  }))
  return { moduleName: folder, title: folder, templates }
}
