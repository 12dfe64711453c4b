import { useHost } from 'vue';

/** Sends a DOM event from the element itself; it bubbles, and a page listens to it as to any other. */
export function useHostEvents(): (name: string, detail: object) => void {
  const host = useHost();
  return (name, detail) => {
    host?.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  };
}
