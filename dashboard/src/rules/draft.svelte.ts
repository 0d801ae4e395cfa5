import { idOf } from "../format/names";

/** Something that is being written, in a form or as JSON. Its id follows its name until somebody types another. */
export class Draft<T extends { name: string }> {
    id = $state("");
    value = $state.raw() as T;
    isJson = $state(false);
    text = $state("");
    readonly #first: T;
    readonly #tidied: (value: T) => T;
    #isIdTyped = false;

    /** `tidied` leaves out what says nothing. */
    constructor(first: T, tidied: (value: T) => T = (value) => value) {
        this.#first = first;
        this.#tidied = tidied;
        this.clear();
    }

    /** Write on at something that is there. */
    edit(id: string, value: T): void {
        this.typeId(id);
        this.#put(value);
    }

    clear(): void {
        this.id = idOf(this.#first.name);
        this.#isIdTyped = false;
        this.#put(this.#first);
    }

    typeId(id: string): void {
        this.id = id;
        this.#isIdTyped = id !== "";
    }

    change(part: Partial<T>): void {
        this.value = { ...this.value, ...part };
        if (!this.#isIdTyped) this.id = idOf(this.value.name);
    }

    /** What is written by now. Throws where it is no JSON. */
    written(): T {
        return this.isJson ? (JSON.parse(this.text) as T) : this.#tidied(this.value);
    }

    /** Go from the form to JSON, or back. Throws where it is no JSON. */
    turn(): void {
        this.#put(this.written());
        this.isJson = !this.isJson;
    }

    #put(value: T): void {
        this.value = value;
        this.text = JSON.stringify(this.#tidied(value), null, 2);
    }
}
