export type Theme = "system" | "light" | "dark";

const KEY = "tarn-theme";

/** Light or dark: as the system has it, unless chosen here. */
class ThemeState {
    chosen = $state<Theme>("system");
    /** Grows with every change, for what draws with colours of its own. */
    version = $state(0);

    start(): void {
        const stored = localStorage.getItem(KEY);
        this.#apply(stored === "light" || stored === "dark" ? stored : "system");
        matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => (this.version += 1));
    }

    choose(theme: Theme): void {
        if (theme === "system") localStorage.removeItem(KEY);
        else localStorage.setItem(KEY, theme);
        this.#apply(theme);
    }

    #apply(theme: Theme): void {
        this.chosen = theme;
        document.documentElement.dataset["theme"] = theme;
        this.version += 1;
    }
}

export const theme = new ThemeState();
