/** Call a user's function; what it throws is the user's to see, and nobody else's to suffer. */
export function guarded<T>(call: (value: T) => void, value: T): void {
  try {
    call(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
