/** Every word of the preview, in English and Chinese. `{name}` stands for a value. */

import { translate } from './errors_zh.js'
import { LIVE_WORDS } from './live_words.js'

/** @type {Record<'en' | 'zh', Record<string, string>>} */
export const WORDS = {
  en: {
    ...LIVE_WORDS.en,
    idle: 'Queue the workflow to see it talk.',
    queued: 'queued',
    preparing: 'preparing',
    preparingNode: 'preparing: {node}',
    chunk: 'chunk {chunk}/{total}',
    speed: '{fps} frames/s, {ratio}x real time',
    behind: '{seconds} s behind real time',
    left: '{time} left',
    buffered: '{seconds} s buffered',
    buffering: 'buffering until {seconds} s are ready',
    loading: 'loading',
    paused: 'paused',
    late: 'video {ms} ms behind the audio',
    early: 'video {ms} ms ahead of the audio',
    lost: 'connection lost, trying again',
    imagesOnly: 'No video in this browser ({why}), images only',
    finished: 'finished',
    copied: 'same settings as before, copied',
    seconds: '{seconds} s',
    interrupted: 'interrupted after {made} of {all} s',
    stopped: 'interrupted',
    failed: 'failed: {reason}',
    failedNode: 'failed: {node}: {reason}',
    unknownError: 'unknown error',
    restarted: 'the server was restarted, or no longer knows this run; what was rendered is in {file}',
    restartedEmpty: 'the server was restarted, or no longer knows this run, before anything was rendered',
    shownTake: 'take {number} of {count}: {file}',
    fileGone: 'the file is gone',
    fileUnplayable: 'the browser cannot play this file',
    noMediaSource: 'it has no media source',
    blobForbidden: 'the page forbids it',
    sourceClosed: 'the source does not open',
    codecUnknown: 'it cannot play {type}',
    noMoreRoom: 'it takes no more video',
    plainFails: 'it does not play the stream',
    play: 'Play',
    pause: 'Pause',
    mute: 'Mute',
    unmute: 'Unmute',
    live: 'Live',
    fullScreen: 'Full screen',
    previousTake: 'Previous take',
    nextTake: 'Next take',
    openFile: 'Open video in new tab',
    saveFile: 'Save video as',
    copyPath: 'Copy path of video',
    hide: 'Hide preview',
    show: 'Show preview',
    loop: 'Loop video',
    playOnce: 'Play video once',
  },
  zh: {
    ...LIVE_WORDS.zh,
    idle: '运行工作流即可看到它说话。',
    queued: '排队中',
    preparing: '准备中',
    preparingNode: '准备中：{node}',
    chunk: '片段 {chunk}/{total}',
    speed: '{fps} 帧/秒，实时的 {ratio} 倍',
    behind: '比实时慢 {seconds} 秒',
    left: '剩余 {time}',
    buffered: '已缓冲 {seconds} 秒',
    buffering: '缓冲中，满 {seconds} 秒后播放',
    loading: '加载中',
    paused: '已暂停',
    late: '画面比声音慢 {ms} 毫秒',
    early: '画面比声音快 {ms} 毫秒',
    lost: '连接中断，正在重试',
    imagesOnly: '此浏览器无法播放视频（{why}），仅显示图片',
    finished: '已完成',
    copied: '设置与之前相同，已复制',
    seconds: '{seconds} 秒',
    interrupted: '已中断，完成 {made} / {all} 秒',
    stopped: '已中断',
    failed: '失败：{reason}',
    failedNode: '失败：{node}：{reason}',
    unknownError: '未知错误',
    restarted: '服务器已重启，或已不再记得这次运行；已渲染的部分保存在 {file}',
    restartedEmpty: '服务器已重启，或已不再记得这次运行；尚未渲染任何内容',
    shownTake: '第 {number} 次，共 {count} 次：{file}',
    fileGone: '文件已不存在',
    fileUnplayable: '浏览器无法播放此文件',
    noMediaSource: '缺少媒体源',
    blobForbidden: '页面禁止播放',
    sourceClosed: '媒体源无法打开',
    codecUnknown: '无法播放 {type}',
    noMoreRoom: '无法再接收视频',
    plainFails: '无法播放视频流',
    play: '播放',
    pause: '暂停',
    mute: '静音',
    unmute: '取消静音',
    live: '最新',
    fullScreen: '全屏',
    previousTake: '上一次',
    nextTake: '下一次',
    openFile: '在新标签页中打开视频',
    saveFile: '视频另存为',
    copyPath: '复制视频路径',
    hide: '隐藏预览',
    show: '显示预览',
    loop: '循环播放视频',
    playOnce: '视频只播放一次',
  },
}

/**
 * @typedef {object} Speech
 * @property {(sentence: string) => string} server - a sentence of the server, which may be like a key
 */
/** @typedef {((key: string, values?: Record<string, string | number>) => string) & Speech} Say */

/**
 * Put values into a sentence.
 * @param {string} sentence
 * @param {Record<string, string | number>} values
 */
export function fillIn(sentence, values) {
  return sentence.replace(/\{(\w+)\}/g, (match, name) => String(values[name] ?? match))
}

/**
 * The language of the preview for a locale of ComfyUI's page.
 * @param {string} locale
 */
export function languageOf(locale) {
  return /^zh\b/i.test(locale) ? 'zh' : 'en'
}

/**
 * @param {() => string} locale - of the page, asked each time, for users switch it
 * @returns {Say}
 */
export function speakIn(locale) {
  const say = (/** @type {string} */ key, /** @type {Record<string, string | number>} */ values = {}) =>
    fillIn(WORDS[languageOf(locale())][key], values)
  const server = (/** @type {string} */ sentence) =>
    languageOf(locale()) === 'zh' ? translate(sentence) : sentence
  return Object.assign(say, { server })
}
