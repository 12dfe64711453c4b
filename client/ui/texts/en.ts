import { tabEn } from './tab-en.ts';
import type { ErrorText, Texts } from './texts.ts';

/** The page and the server do not fit together: nothing that the person in front of it did. */
const TECHNICAL: ErrorText = {
  what: 'This app and the call server do not understand each other.',
  todo: 'Reload the page. If it happens again, tell the people who run this app.',
};
const OPERATOR = 'Try again later, or tell the people who run this app.';
const UNREACHABLE: ErrorText = {
  what: 'Your networks could not reach each other.',
  todo: 'Try another network, such as a mobile one, or make a secure call: it goes through the server.',
};
const SIGN_IN_AGAIN = 'Reload the page, or sign in again.';

export const en: Texts = {
  button: {
    call: 'Call',
    callNamed: 'Call {name}',
    voice: 'Voice call',
    voiceHint: 'Nothing of it is kept.',
    secure: 'Secure call (recorded)',
    secureHint: 'Recorded with the consent of both. Both get the recording.',
    offline: 'Calls are not available: there is no connection to the call server.',
    inCall: 'You are in a call.',
  },
  consent: {
    title: 'Start a secure call?',
    loading: 'Loading the text…',
    bothAsked: '{name} is asked the same before the call begins.',
    confirm: 'I agree, call',
    cancel: 'Cancel',
    retry: 'Try again',
    guidanceTitle: 'What a secure call is, and what it is not',
    guidance: [
      'Use a secure call when both of you want a record of what was said. For everything else use a voice call: nothing of it is kept.',
      'The recording is stored on the server. A secure call is not end-to-end encrypted: the server hears it in order to record it.',
      'Both of you get the same recording. Neither of you can change or delete it.',
      'Is it confidential, or under a non-disclosure agreement? Then use another channel.',
    ],
  },
  popup: {
    label: 'Call',
    unknownPeer: 'The other person',
    incoming: 'Incoming call',
    incomingSecure: 'Incoming secure call',
    announceIncoming: '{title} from {name}. Press {shortcut} to go to it.',
    accept: 'Accept',
    agreeAccept: 'I agree, accept',
    decline: 'Decline',
    microphone: 'Waiting for your microphone…',
    calling: 'Calling…',
    connecting: 'Connecting…',
    inCall: 'In call',
    recording: 'Recording',
    recordingBadge: 'Recording',
    interrupted: 'Recording interrupted',
    interruptedNote: 'Neither of you hears the other until the call is recorded again.',
    reconnecting: 'Reconnecting…',
    peerMuted: '{name} has muted the microphone.',
    mute: 'Mute',
    unmute: 'Unmute',
    muted: 'Your microphone is muted.',
    hangup: 'Hang up',
    cancel: 'Cancel call',
    close: 'Close',
    minimise: 'Make small',
    expand: 'Make large',
    devices: 'Microphone and speaker',
    microphoneDevice: 'Microphone',
    speakerDevice: 'Speaker',
    defaultDevice: 'System default',
    enableSound: 'Turn sound on',
    poorConnection: 'Poor connection',
    secureMode: 'Secure call',
    voiceMode: 'Voice call',
    duration: 'Duration {time}',
    chain: 'seal {head} · {seq}',
    chainHint:
      'Signed by the server and kept by this browser, so that the recording cannot be exchanged later: part {epoch}, block {seq}, {whole}',
    notifyTitle: '{name} is calling',
    notifyAllow: 'Tell me about calls when this page is in the background',
  },
  ended: {
    hangup: { caller: { what: 'Call ended' }, callee: { what: 'Call ended' } },
    declined: {
      caller: { what: '{name} declined the call.' },
      callee: { what: 'You declined the call.' },
    },
    cancelled: {
      caller: { what: 'You cancelled the call.' },
      callee: { what: 'Missed call: {name} hung up before you answered.' },
    },
    busy: {
      caller: { what: '{name} is in another call.', todo: 'Try again in a while.' },
      callee: { what: 'You were in another call.' },
    },
    no_answer: {
      caller: { what: '{name} did not answer.', todo: 'Try again later, or leave a message.' },
      callee: { what: 'Missed call from {name}.' },
    },
    offline: {
      caller: { what: '{name} is offline.', todo: 'Leave a message: nothing rings there later.' },
      callee: { what: 'You were offline.' },
    },
    answered_elsewhere: {
      caller: { what: 'The call was answered on another device.' },
      callee: { what: 'You answered this call on another device.' },
    },
    media_failed: {
      caller: {
        what: 'Microphone or connection unavailable.',
        todo: 'Check your network, then call again. Some company networks block calls.',
      },
      callee: {
        what: 'Microphone or connection unavailable.',
        todo: 'Check your network, then call back. Some company networks block calls.',
      },
    },
    peer_unreachable: { caller: UNREACHABLE, callee: UNREACHABLE },
    recorder_unavailable: {
      caller: {
        what: 'The call could not be recorded, so it did not begin.',
        todo: 'Nothing was heard. Try again in a moment, or make a voice call.',
      },
      callee: {
        what: 'The call could not be recorded, so it did not begin.',
        todo: 'Nothing was heard. Try again in a moment, or make a voice call.',
      },
    },
    recording_lost: {
      caller: {
        what: 'The recording broke off, so the call was ended.',
        todo: 'Nothing was heard unrecorded. What was recorded before is kept.',
      },
      callee: {
        what: 'The recording broke off, so the call was ended.',
        todo: 'Nothing was heard unrecorded. What was recorded before is kept.',
      },
    },
    connection_lost: {
      caller: { what: 'The connection was lost.', todo: 'Check your network, then call again.' },
      callee: { what: 'The connection was lost.', todo: 'Check your network, then call back.' },
    },
    shutdown: {
      caller: { what: 'The call server is restarting.', todo: 'Call again in a moment.' },
      callee: { what: 'The call server is restarting.', todo: 'Call back in a moment.' },
    },
  },
  tab: tabEn,
  errors: {
    bad_request: TECHNICAL,
    parse_error: TECHNICAL,
    invalid_message: TECHNICAL,
    unknown_method: TECHNICAL,
    method_not_allowed: TECHNICAL,
    too_large: TECHNICAL,
    unsupported_media_type: TECHNICAL,
    range_not_satisfiable: TECHNICAL,
    precondition_failed: TECHNICAL,
    wrong_media_path: TECHNICAL,
    unauthorized: { what: 'You are not signed in for calls.', todo: SIGN_IN_AGAIN },
    token_expired: { what: 'Your sign-in for calls has run out.', todo: SIGN_IN_AGAIN },
    forbidden: { what: 'You are not allowed to do this here.', todo: 'Ask the people who run this app.' },
    proof_required: { what: 'A fresh sign-in is needed.', todo: 'Sign in again, then repeat this.' },
    origin_refused: {
      what: 'The call server does not know this web address.',
      todo: 'Tell the people who run this app.',
    },
    not_found: { what: 'This is not there, or it is not yours to see.' },
    conflict: { what: 'This is not possible right now.', todo: 'Try again in a moment.' },
    rate_limited: { what: 'That was too often in a short time.', todo: 'Wait a minute, then try again.' },
    not_a_direct_chat: { what: 'Calls are possible only in chats of two people.' },
    consent_required: {
      what: 'A secure call begins only when you have agreed to the present text.',
      todo: 'Start the call again and read the text.',
    },
    recording_disabled: {
      what: 'Secure calls are turned off in this app.',
      todo: 'Make a voice call, or ask the people who run this app.',
    },
    role_not_allowed: {
      what: 'Calls of this kind are not open to your role.',
      todo: 'Ask the people who run this app.',
    },
    user_offline: { what: '{name} is offline.', todo: 'Leave a message: nothing rings there later.' },
    user_busy: { what: '{name} is in another call.', todo: 'Try again in a while.' },
    already_in_call: {
      what: 'You are already in a call.',
      todo: 'End it first, also on your other devices.',
    },
    answered_elsewhere: { what: 'You answered this call on another device.' },
    busy_server: { what: 'The call server is at its limit.', todo: 'Try again in a few minutes.' },
    media_failed: {
      what: 'Microphone or connection unavailable.',
      todo: 'Check your network, then call again. Some company networks block calls.',
    },
    peer_unreachable: UNREACHABLE,
    recorder_unavailable: {
      what: 'The call could not be recorded, so it did not begin.',
      todo: 'Try again in a moment, or make a voice call.',
    },
    recording_lost: {
      what: 'The recording broke off, so the call was ended.',
      todo: 'Nothing was heard unrecorded. What was recorded before is kept.',
    },
    no_space: { what: 'The server has no room for another recording.', todo: OPERATOR },
    evidence_unavailable: { what: 'The server cannot prove recordings at present.', todo: OPERATOR },
    recording_not_ready: { what: 'The recording is not ready yet.', todo: 'It takes a few seconds.' },
    recording_failed: { what: 'There is no recording of this call.' },
    no_evidence: { what: 'There is no evidence bundle of this recording.' },
    format_unavailable: { what: 'This recording cannot be had in this format.', todo: 'Take another one.' },
    held: {
      what: 'This recording is kept under a legal hold.',
      todo: 'It can be removed when the hold is released.',
    },
    removal_disabled: { what: 'Removal under a legal order is turned off on this server.', todo: OPERATOR },
    grant_invalid: { what: 'This address has run out.', todo: 'Open the recording again.' },
    shutting_down: { what: 'The call server is restarting.', todo: 'Try again in a moment.' },
    unavailable: { what: 'The call server is not available.', todo: OPERATOR },
    corrupt: {
      what: 'What the server sent does not verify.',
      todo: 'Do not rely on it, and tell the people who run this app.',
    },
    internal: { what: 'Something failed on the call server.', todo: OPERATOR },
    microphone_denied: {
      what: 'Microphone unavailable: this page may not use it.',
      todo: 'Click the icon beside the web address, allow the microphone for this page, and try again. Is it allowed there? Then allow it for the browser in the settings of your system, too.',
    },
    microphone_missing: {
      what: 'Microphone unavailable: none was found.',
      todo: 'Connect a microphone or a headset, then try again.',
    },
    microphone_busy: {
      what: 'Microphone unavailable: another program may be using it.',
      todo: 'Close the other program, then try again.',
    },
    microphone_replaced: {
      what: 'Your microphone is gone: another one is used now.',
      todo: 'Choose the one you want below.',
    },
    speaker_missing: { what: 'Your speaker is gone: the usual one is used now.' },
    speaker_denied: {
      what: 'The browser does not allow this speaker.',
      todo: 'Allow the microphone for this page beside the web address, then choose again.',
    },
    speaker_unsupported: {
      what: 'This browser does not let a page choose the speaker.',
      todo: 'Choose it in the settings of your system.',
    },
    playback_failed: { what: 'The recording cannot be played at present.', todo: 'Try again in a while.' },
    playback_blocked: {
      what: 'The browser blocks the sound of this call.',
      todo: 'Press the button to hear {name}.',
    },
    insecure_page: {
      what: 'Calls are not possible on this page, because it is not encrypted.',
      todo: 'Open it with https:// in front of its address.',
    },
    webrtc_unsupported: {
      what: 'This browser cannot make calls.',
      todo: 'Use a current Firefox, Chrome, Edge or Safari.',
    },
    connection_lost: {
      what: 'There is no connection to the call server.',
      todo: 'Check your network, then try again.',
    },
    timeout: { what: 'The call server did not answer in time.', todo: 'Check your network, then try again.' },
    client_closed: { what: 'Calls are turned off on this page.', todo: 'Reload the page.' },
    call_over: { what: 'The call is over.' },
  },
};
