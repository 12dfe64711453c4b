import { tabEs } from './tab-es.ts';
import type { ErrorText, Texts } from './texts.ts';

const TECHNICAL: ErrorText = {
  what: 'Esta aplicación y el servidor de llamadas no se entienden.',
  todo: 'Vuelva a cargar la página. Si ocurre otra vez, avise a quienes gestionan esta aplicación.',
};
const OPERATOR = 'Inténtelo más tarde o avise a quienes gestionan esta aplicación.';
const UNREACHABLE: ErrorText = {
  what: 'Sus redes no pueden alcanzarse.',
  todo: 'Pruebe con otra red, por ejemplo la móvil, o haga una llamada segura: pasa por el servidor.',
};
const SIGN_IN_AGAIN = 'Vuelva a cargar la página o inicie sesión de nuevo.';

export const es: Texts = {
  button: {
    call: 'Llamar',
    callNamed: 'Llamar a {name}',
    voice: 'Llamada de voz',
    voiceHint: 'No se guarda nada.',
    secure: 'Llamada segura (grabada)',
    secureHint: 'Se graba con el consentimiento de ambos. Los dos reciben la grabación.',
    offline: 'No se puede llamar: no hay conexión con el servidor de llamadas.',
    inCall: 'Está en una llamada.',
  },
  consent: {
    title: '¿Iniciar una llamada segura?',
    loading: 'Cargando el texto…',
    bothAsked: 'A {name} se le pregunta lo mismo antes de empezar.',
    confirm: 'Acepto, llamar',
    cancel: 'Cancelar',
    retry: 'Intentar de nuevo',
    guidanceTitle: 'Qué es una llamada segura y qué no es',
    guidance: [
      'Use una llamada segura cuando los dos quieran dejar constancia de lo dicho. Para todo lo demás use una llamada de voz: de ella no se guarda nada.',
      'La grabación se guarda en el servidor. Una llamada segura no está cifrada de extremo a extremo: el servidor la oye para grabarla.',
      'Los dos reciben la misma grabación. Ninguno puede cambiarla ni borrarla.',
      '¿Es confidencial o está bajo un acuerdo de confidencialidad? Entonces use otro medio.',
    ],
  },
  popup: {
    label: 'Llamada',
    unknownPeer: 'La otra persona',
    incoming: 'Llamada entrante',
    incomingSecure: 'Llamada segura entrante',
    announceIncoming: '{title} de {name}. Pulse {shortcut} para ir a ella.',
    accept: 'Contestar',
    agreeAccept: 'Acepto, contestar',
    decline: 'Rechazar',
    microphone: 'Esperando su micrófono…',
    calling: 'Llamando…',
    connecting: 'Conectando…',
    inCall: 'En llamada',
    recording: 'Grabando',
    recordingBadge: 'Grabando',
    interrupted: 'Grabación interrumpida',
    interruptedNote: 'Ninguno oye al otro hasta que la llamada se grabe de nuevo.',
    reconnecting: 'Conectando de nuevo…',
    peerMuted: '{name} ha silenciado el micrófono.',
    mute: 'Silenciar',
    unmute: 'Activar micrófono',
    muted: 'Su micrófono está silenciado.',
    hangup: 'Colgar',
    cancel: 'Cancelar llamada',
    close: 'Cerrar',
    minimise: 'Reducir',
    expand: 'Ampliar',
    devices: 'Micrófono y altavoz',
    microphoneDevice: 'Micrófono',
    speakerDevice: 'Altavoz',
    defaultDevice: 'Predeterminado del sistema',
    enableSound: 'Activar el sonido',
    poorConnection: 'Conexión débil',
    secureMode: 'Llamada segura',
    voiceMode: 'Llamada de voz',
    duration: 'Duración {time}',
    chain: 'sello {head} · {seq}',
    chainHint:
      'Firmado por el servidor y guardado por este navegador, para que la grabación no se pueda cambiar después: parte {epoch}, bloque {seq}, {whole}',
    notifyTitle: '{name} le llama',
    notifyAllow: 'Avisarme de llamadas cuando esta página esté en segundo plano',
  },
  ended: {
    hangup: { caller: { what: 'Llamada terminada' }, callee: { what: 'Llamada terminada' } },
    declined: {
      caller: { what: '{name} rechazó la llamada.' },
      callee: { what: 'Rechazó la llamada.' },
    },
    cancelled: {
      caller: { what: 'Canceló la llamada.' },
      callee: { what: 'Llamada perdida: {name} colgó antes de que contestara.' },
    },
    busy: {
      caller: { what: '{name} está en otra llamada.', todo: 'Inténtelo dentro de un rato.' },
      callee: { what: 'Estaba en otra llamada.' },
    },
    no_answer: {
      caller: { what: '{name} no contestó.', todo: 'Inténtelo más tarde o deje un mensaje.' },
      callee: { what: 'Llamada perdida de {name}.' },
    },
    offline: {
      caller: {
        what: '{name} no está en línea.',
        todo: 'Deje un mensaje: allí tampoco sonará más tarde.',
      },
      callee: { what: 'No estaba en línea.' },
    },
    answered_elsewhere: {
      caller: { what: 'La llamada se contestó en otro dispositivo.' },
      callee: { what: 'Contestó esta llamada en otro dispositivo.' },
    },
    media_failed: {
      caller: {
        what: 'Micrófono o conexión no disponibles.',
        todo: 'Compruebe su red y llame otra vez. Algunas redes de empresa bloquean las llamadas.',
      },
      callee: {
        what: 'Micrófono o conexión no disponibles.',
        todo: 'Compruebe su red y devuelva la llamada. Algunas redes de empresa bloquean las llamadas.',
      },
    },
    peer_unreachable: { caller: UNREACHABLE, callee: UNREACHABLE },
    recorder_unavailable: {
      caller: {
        what: 'La llamada no se pudo grabar y por eso no empezó.',
        todo: 'No se oyó nada. Inténtelo en un momento o haga una llamada de voz.',
      },
      callee: {
        what: 'La llamada no se pudo grabar y por eso no empezó.',
        todo: 'No se oyó nada. Inténtelo en un momento o haga una llamada de voz.',
      },
    },
    recording_lost: {
      caller: {
        what: 'La grabación se cortó y por eso terminó la llamada.',
        todo: 'No se oyó nada sin grabar. Lo grabado antes se conserva.',
      },
      callee: {
        what: 'La grabación se cortó y por eso terminó la llamada.',
        todo: 'No se oyó nada sin grabar. Lo grabado antes se conserva.',
      },
    },
    connection_lost: {
      caller: { what: 'Se perdió la conexión.', todo: 'Compruebe su red y llame otra vez.' },
      callee: { what: 'Se perdió la conexión.', todo: 'Compruebe su red y devuelva la llamada.' },
    },
    shutdown: {
      caller: { what: 'El servidor de llamadas se está reiniciando.', todo: 'Llame otra vez en un momento.' },
      callee: {
        what: 'El servidor de llamadas se está reiniciando.',
        todo: 'Devuelva la llamada en un momento.',
      },
    },
  },
  tab: tabEs,
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
    unauthorized: { what: 'No ha iniciado sesión para llamar.', todo: SIGN_IN_AGAIN },
    token_expired: { what: 'Su sesión para llamar ha caducado.', todo: SIGN_IN_AGAIN },
    forbidden: {
      what: 'Aquí no se le permite hacer esto.',
      todo: 'Pregunte a quienes gestionan esta aplicación.',
    },
    proof_required: {
      what: 'Hace falta volver a identificarse.',
      todo: 'Inicie sesión de nuevo y repita la acción.',
    },
    origin_refused: {
      what: 'El servidor de llamadas no conoce esta dirección web.',
      todo: 'Avise a quienes gestionan esta aplicación.',
    },
    not_found: { what: 'No existe o no le corresponde verlo.' },
    conflict: { what: 'Ahora mismo no es posible.', todo: 'Inténtelo en un momento.' },
    rate_limited: {
      what: 'Demasiadas veces en poco tiempo.',
      todo: 'Espere un minuto e inténtelo de nuevo.',
    },
    not_a_direct_chat: { what: 'Solo se puede llamar en chats de dos personas.' },
    consent_required: {
      what: 'Una llamada segura empieza solo cuando ha aceptado el texto vigente.',
      todo: 'Inicie la llamada de nuevo y lea el texto.',
    },
    recording_disabled: {
      what: 'Las llamadas seguras están desactivadas en esta aplicación.',
      todo: 'Haga una llamada de voz o pregunte a quienes gestionan esta aplicación.',
    },
    role_not_allowed: {
      what: 'Su rol no permite este tipo de llamadas.',
      todo: 'Pregunte a quienes gestionan esta aplicación.',
    },
    user_offline: {
      what: '{name} no está en línea.',
      todo: 'Deje un mensaje: allí tampoco sonará más tarde.',
    },
    user_busy: { what: '{name} está en otra llamada.', todo: 'Inténtelo dentro de un rato.' },
    already_in_call: {
      what: 'Ya está en una llamada.',
      todo: 'Termínela primero, también en sus otros dispositivos.',
    },
    answered_elsewhere: { what: 'Contestó esta llamada en otro dispositivo.' },
    busy_server: {
      what: 'El servidor de llamadas está al límite.',
      todo: 'Inténtelo dentro de unos minutos.',
    },
    media_failed: {
      what: 'Micrófono o conexión no disponibles.',
      todo: 'Compruebe su red y llame otra vez. Algunas redes de empresa bloquean las llamadas.',
    },
    peer_unreachable: UNREACHABLE,
    recorder_unavailable: {
      what: 'La llamada no se pudo grabar y por eso no empezó.',
      todo: 'Inténtelo en un momento o haga una llamada de voz.',
    },
    recording_lost: {
      what: 'La grabación se cortó y por eso terminó la llamada.',
      todo: 'No se oyó nada sin grabar. Lo grabado antes se conserva.',
    },
    no_space: { what: 'El servidor no tiene sitio para otra grabación.', todo: OPERATOR },
    evidence_unavailable: { what: 'El servidor no puede acreditar grabaciones ahora.', todo: OPERATOR },
    recording_not_ready: { what: 'La grabación aún no está lista.', todo: 'Tarda unos segundos.' },
    recording_failed: { what: 'No hay grabación de esta llamada.' },
    no_evidence: { what: 'No hay paquete de pruebas de esta grabación.' },
    format_unavailable: { what: 'Esta grabación no existe en este formato.', todo: 'Elija otro.' },
    held: {
      what: 'Esta grabación está sujeta a una retención legal.',
      todo: 'Podrá retirarse cuando se levante la retención.',
    },
    removal_disabled: {
      what: 'La retirada por orden legal está desactivada en este servidor.',
      todo: OPERATOR,
    },
    grant_invalid: { what: 'Esta dirección ha caducado.', todo: 'Abra la grabación de nuevo.' },
    shutting_down: {
      what: 'El servidor de llamadas se está reiniciando.',
      todo: 'Inténtelo en un momento.',
    },
    unavailable: { what: 'El servidor de llamadas no está disponible.', todo: OPERATOR },
    corrupt: {
      what: 'Lo que envió el servidor no supera la comprobación.',
      todo: 'No se fíe de ello y avise a quienes gestionan esta aplicación.',
    },
    internal: { what: 'Algo falló en el servidor de llamadas.', todo: OPERATOR },
    microphone_denied: {
      what: 'Micrófono no disponible: esta página no puede usarlo.',
      todo: 'Pulse el icono junto a la dirección web, permita el micrófono para esta página e inténtelo de nuevo. ¿Ya está permitido? Entonces permítalo al navegador también en los ajustes de su sistema.',
    },
    microphone_missing: {
      what: 'Micrófono no disponible: no se encontró ninguno.',
      todo: 'Conecte un micrófono o unos auriculares e inténtelo de nuevo.',
    },
    microphone_busy: {
      what: 'Micrófono no disponible: quizá lo usa otro programa.',
      todo: 'Cierre el otro programa e inténtelo de nuevo.',
    },
    microphone_replaced: {
      what: 'Su micrófono ya no está: ahora se usa otro.',
      todo: 'Elija abajo el que quiera.',
    },
    speaker_missing: { what: 'Su altavoz ya no está: ahora se usa el habitual.' },
    speaker_denied: {
      what: 'El navegador no permite este altavoz.',
      todo: 'Permita el micrófono para esta página junto a la dirección web y elija de nuevo.',
    },
    speaker_unsupported: {
      what: 'En este navegador una página no puede elegir el altavoz.',
      todo: 'Elíjalo en los ajustes de su sistema.',
    },
    playback_failed: {
      what: 'La grabación no se puede reproducir ahora.',
      todo: 'Inténtelo dentro de un rato.',
    },
    playback_blocked: {
      what: 'El navegador bloquea el sonido de esta llamada.',
      todo: 'Pulse el botón para oír a {name}.',
    },
    insecure_page: {
      what: 'En esta página no se puede llamar porque no está cifrada.',
      todo: 'Ábrala con https:// delante de la dirección.',
    },
    webrtc_unsupported: {
      what: 'Este navegador no puede hacer llamadas.',
      todo: 'Use un Firefox, Chrome, Edge o Safari actual.',
    },
    connection_lost: {
      what: 'No hay conexión con el servidor de llamadas.',
      todo: 'Compruebe su red e inténtelo de nuevo.',
    },
    timeout: {
      what: 'El servidor de llamadas no respondió a tiempo.',
      todo: 'Compruebe su red e inténtelo de nuevo.',
    },
    client_closed: {
      what: 'Las llamadas están desactivadas en esta página.',
      todo: 'Vuelva a cargar la página.',
    },
    call_over: { what: 'La llamada ha terminado.' },
  },
};
