import { tabDe } from './tab-de.ts';
import type { ErrorText, Texts } from './texts.ts';

const TECHNICAL: ErrorText = {
  what: 'Diese App und der Anrufserver verstehen einander nicht.',
  todo: 'Laden Sie die Seite neu. Geschieht es wieder, sagen Sie es den Betreibern dieser App.',
};
const OPERATOR = 'Versuchen Sie es später noch einmal, oder sagen Sie es den Betreibern dieser App.';
const UNREACHABLE: ErrorText = {
  what: 'Ihre Netze erreichen einander nicht.',
  todo: 'Nehmen Sie ein anderes Netz, etwa Mobilfunk, oder einen sicheren Anruf: Er geht über den Server.',
};
const SIGN_IN_AGAIN = 'Laden Sie die Seite neu, oder melden Sie sich neu an.';

export const de: Texts = {
  button: {
    call: 'Anrufen',
    callNamed: '{name} anrufen',
    voice: 'Sprachanruf',
    voiceHint: 'Nichts davon wird aufbewahrt.',
    secure: 'Sicherer Anruf (mit Aufzeichnung)',
    secureHint: 'Mit Zustimmung beider aufgezeichnet. Beide erhalten die Aufnahme.',
    offline: 'Anrufe sind nicht möglich: Es besteht keine Verbindung zum Anrufserver.',
    inCall: 'Sie sind in einem Anruf.',
  },
  consent: {
    title: 'Sicheren Anruf beginnen?',
    loading: 'Der Text wird geladen…',
    bothAsked: '{name} wird vor Beginn des Anrufs dasselbe gefragt.',
    confirm: 'Zustimmen und anrufen',
    cancel: 'Abbrechen',
    retry: 'Noch einmal versuchen',
    guidanceTitle: 'Was ein sicherer Anruf ist und was nicht',
    guidance: [
      'Wählen Sie einen sicheren Anruf, wenn Sie beide festhalten wollen, was gesagt wurde. Für alles andere nehmen Sie einen Sprachanruf: Von ihm wird nichts aufbewahrt.',
      'Die Aufnahme liegt auf dem Server. Ein sicherer Anruf ist nicht Ende-zu-Ende-verschlüsselt: Der Server hört ihn, um ihn aufzuzeichnen.',
      'Beide erhalten dieselbe Aufnahme. Keiner von beiden kann sie ändern oder löschen.',
      'Ist es vertraulich oder fällt es unter eine Geheimhaltungsvereinbarung? Dann nehmen Sie einen anderen Weg.',
    ],
  },
  popup: {
    label: 'Anruf',
    unknownPeer: 'Die andere Person',
    incoming: 'Eingehender Anruf',
    incomingSecure: 'Eingehender sicherer Anruf',
    announceIncoming: '{title} von {name}. Mit {shortcut} gelangen Sie dorthin.',
    accept: 'Annehmen',
    agreeAccept: 'Zustimmen und annehmen',
    decline: 'Ablehnen',
    microphone: 'Warten auf Ihr Mikrofon…',
    calling: 'Es klingelt…',
    connecting: 'Verbinden…',
    inCall: 'Im Gespräch',
    recording: 'Aufzeichnung läuft',
    recordingBadge: 'Aufzeichnung',
    interrupted: 'Aufzeichnung unterbrochen',
    interruptedNote: 'Keiner hört den anderen, bis wieder aufgezeichnet wird.',
    reconnecting: 'Wieder verbinden…',
    peerMuted: '{name} hat das Mikrofon stummgeschaltet.',
    mute: 'Stumm',
    unmute: 'Stumm aus',
    muted: 'Ihr Mikrofon ist stummgeschaltet.',
    hangup: 'Auflegen',
    cancel: 'Anruf abbrechen',
    close: 'Schließen',
    minimise: 'Verkleinern',
    expand: 'Vergrößern',
    devices: 'Mikrofon und Lautsprecher',
    microphoneDevice: 'Mikrofon',
    speakerDevice: 'Lautsprecher',
    defaultDevice: 'Standard des Systems',
    enableSound: 'Ton einschalten',
    poorConnection: 'Schlechte Verbindung',
    secureMode: 'Sicherer Anruf',
    voiceMode: 'Sprachanruf',
    duration: 'Dauer {time}',
    chain: 'Siegel {head} · {seq}',
    chainHint:
      'Vom Server unterschrieben und von diesem Browser aufbewahrt, damit die Aufnahme später nicht ausgetauscht werden kann: Teil {epoch}, Block {seq}, {whole}',
    notifyTitle: '{name} ruft an',
    notifyAllow: 'Anrufe auch melden, wenn diese Seite im Hintergrund ist',
  },
  ended: {
    hangup: { caller: { what: 'Anruf beendet' }, callee: { what: 'Anruf beendet' } },
    declined: {
      caller: { what: '{name} hat den Anruf abgelehnt.' },
      callee: { what: 'Sie haben den Anruf abgelehnt.' },
    },
    cancelled: {
      caller: { what: 'Sie haben den Anruf abgebrochen.' },
      callee: { what: 'Verpasster Anruf: {name} hat aufgelegt, bevor Sie annahmen.' },
    },
    busy: {
      caller: {
        what: '{name} ist in einem anderen Gespräch.',
        todo: 'Versuchen Sie es nachher noch einmal.',
      },
      callee: { what: 'Sie waren in einem anderen Gespräch.' },
    },
    no_answer: {
      caller: {
        what: '{name} hat nicht geantwortet.',
        todo: 'Versuchen Sie es später, oder hinterlassen Sie eine Nachricht.',
      },
      callee: { what: 'Verpasster Anruf von {name}.' },
    },
    offline: {
      caller: {
        what: '{name} ist offline.',
        todo: 'Hinterlassen Sie eine Nachricht: Dort klingelt es auch später nicht.',
      },
      callee: { what: 'Sie waren offline.' },
    },
    answered_elsewhere: {
      caller: { what: 'Der Anruf wurde auf einem anderen Gerät angenommen.' },
      callee: { what: 'Sie haben diesen Anruf auf einem anderen Gerät angenommen.' },
    },
    media_failed: {
      caller: {
        what: 'Mikrofon oder Verbindung nicht verfügbar.',
        todo: 'Prüfen Sie Ihr Netz und rufen Sie noch einmal an. Manche Firmennetze sperren Anrufe.',
      },
      callee: {
        what: 'Mikrofon oder Verbindung nicht verfügbar.',
        todo: 'Prüfen Sie Ihr Netz und rufen Sie zurück. Manche Firmennetze sperren Anrufe.',
      },
    },
    peer_unreachable: { caller: UNREACHABLE, callee: UNREACHABLE },
    recorder_unavailable: {
      caller: {
        what: 'Der Anruf konnte nicht aufgezeichnet werden und begann deshalb nicht.',
        todo: 'Es war nichts zu hören. Versuchen Sie es gleich noch einmal, oder nehmen Sie einen Sprachanruf.',
      },
      callee: {
        what: 'Der Anruf konnte nicht aufgezeichnet werden und begann deshalb nicht.',
        todo: 'Es war nichts zu hören. Versuchen Sie es gleich noch einmal, oder nehmen Sie einen Sprachanruf.',
      },
    },
    recording_lost: {
      caller: {
        what: 'Die Aufzeichnung brach ab, deshalb wurde der Anruf beendet.',
        todo: 'Nichts war ohne Aufzeichnung zu hören. Was vorher aufgezeichnet wurde, bleibt.',
      },
      callee: {
        what: 'Die Aufzeichnung brach ab, deshalb wurde der Anruf beendet.',
        todo: 'Nichts war ohne Aufzeichnung zu hören. Was vorher aufgezeichnet wurde, bleibt.',
      },
    },
    connection_lost: {
      caller: {
        what: 'Die Verbindung ist abgebrochen.',
        todo: 'Prüfen Sie Ihr Netz und rufen Sie noch einmal an.',
      },
      callee: { what: 'Die Verbindung ist abgebrochen.', todo: 'Prüfen Sie Ihr Netz und rufen Sie zurück.' },
    },
    shutdown: {
      caller: { what: 'Der Anrufserver startet neu.', todo: 'Rufen Sie gleich noch einmal an.' },
      callee: { what: 'Der Anrufserver startet neu.', todo: 'Rufen Sie gleich zurück.' },
    },
  },
  tab: tabDe,
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
    unauthorized: { what: 'Sie sind für Anrufe nicht angemeldet.', todo: SIGN_IN_AGAIN },
    token_expired: { what: 'Ihre Anmeldung für Anrufe ist abgelaufen.', todo: SIGN_IN_AGAIN },
    forbidden: { what: 'Das dürfen Sie hier nicht.', todo: 'Fragen Sie die Betreiber dieser App.' },
    proof_required: {
      what: 'Dafür ist eine frische Anmeldung nötig.',
      todo: 'Melden Sie sich noch einmal an und wiederholen Sie es.',
    },
    origin_refused: {
      what: 'Der Anrufserver kennt diese Webadresse nicht.',
      todo: 'Sagen Sie es den Betreibern dieser App.',
    },
    not_found: { what: 'Das gibt es nicht, oder Sie dürfen es nicht sehen.' },
    conflict: { what: 'Das geht im Augenblick nicht.', todo: 'Versuchen Sie es gleich noch einmal.' },
    rate_limited: {
      what: 'Das war zu oft in kurzer Zeit.',
      todo: 'Warten Sie eine Minute und versuchen Sie es dann noch einmal.',
    },
    not_a_direct_chat: { what: 'Anrufe gibt es nur in Chats zu zweit.' },
    consent_required: {
      what: 'Ein sicherer Anruf beginnt erst, wenn Sie dem geltenden Text zugestimmt haben.',
      todo: 'Beginnen Sie den Anruf neu und lesen Sie den Text.',
    },
    recording_disabled: {
      what: 'Sichere Anrufe sind in dieser App ausgeschaltet.',
      todo: 'Nehmen Sie einen Sprachanruf, oder fragen Sie die Betreiber dieser App.',
    },
    role_not_allowed: {
      what: 'Solche Anrufe sind für Ihre Rolle nicht vorgesehen.',
      todo: 'Fragen Sie die Betreiber dieser App.',
    },
    user_offline: {
      what: '{name} ist offline.',
      todo: 'Hinterlassen Sie eine Nachricht: Dort klingelt es auch später nicht.',
    },
    user_busy: {
      what: '{name} ist in einem anderen Gespräch.',
      todo: 'Versuchen Sie es nachher noch einmal.',
    },
    already_in_call: {
      what: 'Sie sind schon in einem Anruf.',
      todo: 'Beenden Sie ihn zuerst, auch auf Ihren anderen Geräten.',
    },
    answered_elsewhere: { what: 'Sie haben diesen Anruf auf einem anderen Gerät angenommen.' },
    busy_server: {
      what: 'Der Anrufserver ist ausgelastet.',
      todo: 'Versuchen Sie es in einigen Minuten noch einmal.',
    },
    media_failed: {
      what: 'Mikrofon oder Verbindung nicht verfügbar.',
      todo: 'Prüfen Sie Ihr Netz und rufen Sie noch einmal an. Manche Firmennetze sperren Anrufe.',
    },
    peer_unreachable: UNREACHABLE,
    recorder_unavailable: {
      what: 'Der Anruf konnte nicht aufgezeichnet werden und begann deshalb nicht.',
      todo: 'Versuchen Sie es gleich noch einmal, oder nehmen Sie einen Sprachanruf.',
    },
    recording_lost: {
      what: 'Die Aufzeichnung brach ab, deshalb wurde der Anruf beendet.',
      todo: 'Nichts war ohne Aufzeichnung zu hören. Was vorher aufgezeichnet wurde, bleibt.',
    },
    no_space: { what: 'Auf dem Server ist kein Platz für eine weitere Aufnahme.', todo: OPERATOR },
    evidence_unavailable: { what: 'Der Server kann Aufnahmen zurzeit nicht beweisen.', todo: OPERATOR },
    recording_not_ready: { what: 'Die Aufnahme ist noch nicht fertig.', todo: 'Es dauert einige Sekunden.' },
    recording_failed: { what: 'Von diesem Anruf gibt es keine Aufnahme.' },
    no_evidence: { what: 'Zu dieser Aufnahme gibt es kein Beweispaket.' },
    format_unavailable: {
      what: 'Diese Aufnahme gibt es nicht in diesem Format.',
      todo: 'Nehmen Sie ein anderes.',
    },
    held: {
      what: 'Diese Aufnahme steht unter einer rechtlichen Aufbewahrungspflicht.',
      todo: 'Sie kann erst nach deren Aufhebung entfernt werden.',
    },
    removal_disabled: {
      what: 'Das Entfernen auf rechtliche Anordnung ist auf diesem Server abgeschaltet.',
      todo: OPERATOR,
    },
    grant_invalid: { what: 'Diese Adresse ist abgelaufen.', todo: 'Öffnen Sie die Aufnahme noch einmal.' },
    shutting_down: { what: 'Der Anrufserver startet neu.', todo: 'Versuchen Sie es gleich noch einmal.' },
    unavailable: { what: 'Der Anrufserver ist nicht verfügbar.', todo: OPERATOR },
    corrupt: {
      what: 'Was der Server geschickt hat, hält der Prüfung nicht stand.',
      todo: 'Verlassen Sie sich nicht darauf, und sagen Sie es den Betreibern dieser App.',
    },
    internal: { what: 'Auf dem Anrufserver ist etwas fehlgeschlagen.', todo: OPERATOR },
    microphone_denied: {
      what: 'Mikrofon nicht verfügbar: Diese Seite darf es nicht benutzen.',
      todo: 'Klicken Sie auf das Symbol neben der Webadresse, erlauben Sie dieser Seite das Mikrofon, und versuchen Sie es noch einmal. Ist es dort erlaubt? Dann erlauben Sie es dem Browser auch in den Einstellungen Ihres Systems.',
    },
    microphone_missing: {
      what: 'Mikrofon nicht verfügbar: Es wurde keines gefunden.',
      todo: 'Schließen Sie ein Mikrofon oder Headset an, und versuchen Sie es noch einmal.',
    },
    microphone_busy: {
      what: 'Mikrofon nicht verfügbar: Vielleicht benutzt es ein anderes Programm.',
      todo: 'Schließen Sie das andere Programm, und versuchen Sie es noch einmal.',
    },
    microphone_replaced: {
      what: 'Ihr Mikrofon ist weg: Jetzt wird ein anderes benutzt.',
      todo: 'Wählen Sie unten das gewünschte.',
    },
    speaker_missing: { what: 'Ihr Lautsprecher ist weg: Jetzt wird der übliche benutzt.' },
    speaker_denied: {
      what: 'Der Browser erlaubt diesen Lautsprecher nicht.',
      todo: 'Erlauben Sie dieser Seite neben der Webadresse das Mikrofon, und wählen Sie noch einmal.',
    },
    speaker_unsupported: {
      what: 'In diesem Browser kann eine Seite den Lautsprecher nicht wählen.',
      todo: 'Wählen Sie ihn in den Einstellungen Ihres Systems.',
    },
    playback_failed: {
      what: 'Die Aufnahme lässt sich gerade nicht abspielen.',
      todo: 'Versuchen Sie es nachher noch einmal.',
    },
    playback_blocked: {
      what: 'Der Browser sperrt den Ton dieses Anrufs.',
      todo: 'Drücken Sie den Knopf, um {name} zu hören.',
    },
    insecure_page: {
      what: 'Auf dieser Seite sind Anrufe nicht möglich, weil sie nicht verschlüsselt ist.',
      todo: 'Öffnen Sie sie mit https:// vor der Adresse.',
    },
    webrtc_unsupported: {
      what: 'Dieser Browser kann keine Anrufe.',
      todo: 'Nehmen Sie einen aktuellen Firefox, Chrome, Edge oder Safari.',
    },
    connection_lost: {
      what: 'Es besteht keine Verbindung zum Anrufserver.',
      todo: 'Prüfen Sie Ihr Netz und versuchen Sie es noch einmal.',
    },
    timeout: {
      what: 'Der Anrufserver hat nicht rechtzeitig geantwortet.',
      todo: 'Prüfen Sie Ihr Netz und versuchen Sie es noch einmal.',
    },
    client_closed: { what: 'Anrufe sind auf dieser Seite ausgeschaltet.', todo: 'Laden Sie die Seite neu.' },
    call_over: { what: 'Der Anruf ist vorbei.' },
  },
};
